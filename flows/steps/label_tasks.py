"""Labels through the campaign's engine: Prefect tasks in threads of the flow, a few at a time.

A label of quantum chemistry is a task of its own. Where labels are short, a task has as many as keep it busy
for `SECONDS_A_TASK`, so that keeping books on them costs less than they do. The flow holds no more tasks than
the engine runs at once and a few to go on with, however many frames there are.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any, final
from uuid import UUID

from prefect import State
from prefect.context import TagsContext
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engines import NodeDiedError, Running
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.steps.step import step_task
from flows.views.console import warn
from flows.views.duration import duration
from labeling.confirming import Expectation
from labeling.failure import CannotLabelError, LabelFailure
from labeling.level import LevelOfTheory
from labeling.spool import Spool
from labeling.store import LabelStore
from labeling.task import label
from labeling.workers import LabelingConfig
from potential.data.dataset import Label
from potential.data.frame import Frame

SECONDS_A_TASK = 5.0
MOST_A_TASK = 50
Asked = tuple[Frame, Expectation | None]
Outcome = Label | LabelFailure


def label_in_tasks(
    asked: Sequence[Asked], campaign: CampaignFolder, store: LabelStore, spool: Spool
) -> Iterator[int]:
    """Label frames, each with what a committee expects; gives how many are left, as it becomes fewer.

    Each outcome is in the store, or while that cannot be written in the spool, before Prefect hears of it.

    Raises:
        CampaignError: if no frame can be labelled here, or the engine cannot be opened or has gone.
    """
    labeling = campaign.config.labeling
    waiting, finished = deque(asked), SimpleQueue[PrefectFuture[Any]]()
    under_way, left = dict[UUID, int](), len(asked)
    config = labeling.on_a_node
    runner: ThreadPoolTaskRunner[State] = ThreadPoolTaskRunner()
    # The flow's tags are not its labels': for each tag of a task the server would be asked for a slot.
    with TagsContext(current_tags=set()), runner, labeling.engine.open(config, campaign.path) as engine:
        desk = Desk(engine, campaign.config.level, engine.on_node(config), store, spool)
        try:
            while left:
                while waiting and len(under_way) < engine.at_once * 5 // 4 + 1:
                    some = Some([waiting.popleft() for _ in range(desk.share(len(waiting)))])
                    future: PrefectFuture[Any] = runner.submit(label_some, {"some": some, "desk": desk})
                    under_way[future.task_run_id] = len(some.asked)
                    future.add_done_callback(finished.put)
                future = finished.get()
                _raise_unless_recorded(future)
                left -= under_way.pop(future.task_run_id)
                yield left
        except BaseException:
            engine.cancel()  # else the runner would wait for the labels that are being computed
            raise


@final
class Some:
    """The frames of one task. Prefect looks into lists and dataclasses; into this it does not."""

    def __init__(self, asked: list[Asked]) -> None:
        self.asked = asked

    @property
    def title(self) -> str:
        first = self.asked[0][0]
        more = f" and {len(self.asked) - 1} more" if len(self.asked) > 1 else ""
        return f"{first.formula} {first.id:.4}…{more}"


@final
class Desk:
    """What all tasks of a stage share: where labels come from, where they go, how long they have taken."""

    def __init__(
        self, engine: Running, level: LevelOfTheory, config: LabelingConfig, store: LabelStore, spool: Spool
    ) -> None:
        self._engine, self._level, self._config = engine, level, config
        self._store, self._spool = store, spool
        self._seconds, self._done = 0.0, 0

    def share(self, waiting: int) -> int:
        """How many frames the next task has, of those that wait: none shall be without work at the end."""
        if not self._done:
            return 1
        mean = max(self._seconds / self._done, 1e-6)
        return max(1, min(int(SECONDS_A_TASK / mean), MOST_A_TASK, waiting // (2 * self._engine.at_once)))

    def label(self, asked: Sequence[Asked]) -> Iterator[Outcome]:
        """The outcomes, each on record; in the order of the frames."""
        for (frame, _), outcome in zip(asked, self._outcomes(asked), strict=True):
            was_waiting = self._spool.is_waiting
            if not self._spool.record(self._store, frame, outcome) and not was_waiting:
                warn(f"the label store cannot be written; labels wait in {self._spool.where}")
            self._seconds, self._done = self._seconds + _seconds(outcome), self._done + 1
            yield outcome

    def _outcomes(self, asked: Sequence[Asked], deaths: int = 0) -> Iterator[Outcome]:
        """What the engine says. Where its node dies, each frame is tried by itself: that costs an attempt."""
        given = 0
        try:
            calls = [(frame, self._level, self._config, expected) for frame, expected in asked]
            for outcome in self._engine.each(label, calls):
                yield _after(outcome, deaths)
                given += 1
        except NodeDiedError as error:
            if len(asked) > 1:  # one of them may have killed it
                for one in asked[given:]:
                    yield from self._outcomes([one])
            elif (deaths := deaths + error.deaths) < self._config.attempts:
                yield from self._outcomes(asked, deaths)
            else:
                yield self._given_up(asked[0][0], deaths)

    def _given_up(self, frame: Frame, deaths: int) -> LabelFailure:
        return LabelFailure(
            frame_id=frame.id,
            level_key=self._level.key,
            kind="crashed",
            message=f"the process on the node, which was to compute the label, died {deaths} times",
            attempts=deaths,
        )


@step_task("label", "label {some.title}")
def label_some(some: Some, desk: Desk) -> State:
    """Label some frames; each label, or failure, is stored before Prefect hears of it."""
    outcomes = list(zip((frame for frame, _ in some.asked), desk.label(some.asked), strict=True))
    failed = [said for frame, outcome in outcomes if (said := failure_message(frame, outcome))]
    if failed:
        which = f"{len(failed)} of {len(outcomes)}, the first: " if len(outcomes) > 1 else ""
        return Failed(name="No label", message=which + failed[0])
    if len(outcomes) > 1:
        seconds = sum(_seconds(outcome) for _, outcome in outcomes)
        return Completed(message=f"{len(outcomes)} labels, {duration(seconds)}")
    ((frame, label),) = outcomes
    return Completed(message=label_message(frame, label))


def label_message(frame: Frame, label: Outcome) -> str:
    """`C2H6O: 3.4 s, converged by second_order in 31 cycles, attempt 2`."""
    made = label.provenance if isinstance(label, Label) else {}
    parts = [duration(made.get("seconds", 0.0))]
    if rung := made.get("scf_rung"):
        cycles = made.get("scf_cycles")
        spent = sum(cycles.values()) if isinstance(cycles, dict) else cycles
        parts.append(f"converged by {rung}" + (f" in {spent} cycles" if spent else ""))
    if made.get("attempts", 1) > 1:
        parts.append(f"attempt {made['attempts']}")
    return f"{frame.formula}: {', '.join(parts)}"


def failure_message(frame: Frame, outcome: Outcome) -> str:
    """What went wrong and what to do; empty of a label."""
    if isinstance(outcome, Label):
        return ""
    said = f"{frame.formula}: {outcome.kind} after {duration(outcome.seconds)}. {outcome.message}"
    return f"{said} {outcome.advice}"


def _raise_unless_recorded(future: PrefectFuture[Any]) -> None:
    """A label that failed is on record; any other failure of its task is an error of ours."""
    future.wait()
    state = future.state
    if (state.is_failed() and state.name != "No label") or state.is_crashed() or state.is_cancelled():
        try:
            state.result(raise_on_failure=True)
        except CannotLabelError as error:
            raise CampaignError(str(error)) from error


def _after(outcome: Outcome, deaths: int) -> Outcome:
    """An outcome whose node died that many times before."""
    if not deaths:
        return outcome
    if isinstance(outcome, LabelFailure):
        return dataclasses.replace(outcome, attempts=outcome.attempts + deaths)
    attempts = outcome.provenance.get("attempts", 1) + deaths
    return dataclasses.replace(outcome, provenance={**outcome.provenance, "attempts": attempts})


def _seconds(outcome: Outcome) -> float:
    return outcome.seconds if isinstance(outcome, LabelFailure) else outcome.provenance.get("seconds", 0.0)
