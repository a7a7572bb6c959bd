"""The campaign: the loop of active learning as a Prefect flow.

    initial frames -> label -> train -> explore -> select -> label -> train -> ...

Everything it learns is in the campaign's folder, stage by stage, so that the same command goes on
after any interruption; neither Prefect's server nor MLflow is needed to resume.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.campaign.finish import finish
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.record.results import RoundResult, read_results
from flows.steps.explore import explore_with_committee, make_frame_sets, select_frames
from flows.steps.labels import label_stage, labelled_frames, returning_frames
from flows.steps.train import evaluate_on_test, load_committee, train
from flows.tracking.tracker import Tracker
from flows.views.console import say
from flows.views.progress import artifact_key
from flows.views.summary import markdown_table, round_table, verdict
from labeling.failure import CannotLabelError
from labeling.gpu import require_gpu4pyscf
from labeling.isolated_atoms import isolated_atom, isolated_atom_energies
from labeling.store import LabelStore
from labeling.task import open_workers
from labeling.workers import available_cores
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.evaluator import Evaluator


@dataclass(frozen=True, kw_only=True)
class State:
    """Where the loop stands: the round, all labels it may learn from, and the frames without one."""

    round: int
    dataset: Dataset
    quarantined: tuple[Frame, ...]

    def advance(self, tally: LabelTally) -> State:
        """The next round, which learns from what was labelled too."""
        dataset = self.dataset.add(tally.labelled)
        known = {frame.id for frame in dataset.frames}
        tried = dict.fromkeys((*self.quarantined, *tally.quarantined))
        return State(
            round=self.round + 1,
            dataset=dataset,
            quarantined=tuple(frame for frame in tried if frame.id not in known),
        )


def run_campaign(source: Path) -> CampaignFolder:
    """Run or resume the campaign of a YAML file (or campaign folder) in this process.

    Raises:
        ConfigError: if the configuration is wrong.
        CampaignError: if the campaign cannot go on; it can be resumed once the cause is gone.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, everything finished so far being on disk.
    """
    folder = CampaignFolder.open(source)
    start_frames(folder)
    at_once = folder.config.labeling.workers or available_cores()
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=at_once)
    with campaign_lock(folder.path), _sigterm_interrupts():
        campaign.with_options(task_runner=runner)(str(source))
    return folder


@flow(
    name="campaign",
    flow_run_name=lambda: Path(flow_run.parameters["source"]).stem,
    task_runner=cast(TaskRunner[Any], ThreadPoolTaskRunner()),
    persist_result=False,
)
def campaign(source: str) -> str:
    """Active learning of a NequIP committee, as the YAML file (or campaign folder) `source` says."""
    folder = CampaignFolder.open(Path(source))
    start = start_frames(folder)
    with campaign_lock(folder.path), open_workers(folder.config.labeling):
        folder.write_config()
        store = LabelStore(folder.label_store)
        tracker = Tracker(folder.path, folder.config)
        try:
            _loop(folder, start, store, tracker)
        except KeyboardInterrupt:
            tracker.log_stop("KILLED")
            raise
        except Exception:
            tracker.log_stop("FAILED")
            raise
    return str(folder.path)


def _loop(
    folder: CampaignFolder,
    start: Sequence[Frame],
    store: LabelStore,
    tracker: Tracker,
) -> None:
    config = folder.config

    def label(
        frames: Sequence[Frame],
        into: Path,
        description: str,
        committee: Callable[[], Evaluator] | None = None,
    ) -> LabelTally:
        outcomes = label_stage(
            folder,
            into,
            frames,
            store=store,
            description=description,
            committee=committee,
        )
        labelled = labelled_frames(frames, outcomes, store, config.level)
        known = {frame.id for frame in labelled.frames}
        rest = tuple(frame for frame in frames if frame.id not in known)
        return LabelTally(labelled, rest, float(outcomes["seconds"].sum()))

    say(f"campaign {config.name}: {config.level.name}, {config.rounds} rounds, in {folder.path}")
    initial, test = make_frame_sets(folder, start)
    first = label([*test, *initial], folder.labels, "initial and test labels").labelled
    known = {item.frame.id: item for item in first}
    frozen = Dataset.of(known[frame.id] for frame in test if frame.id in known)
    state = State(
        round=0,
        dataset=Dataset.of(known[frame.id] for frame in initial if frame.id in known),
        quarantined=tuple(frame for frame in initial if frame.id not in known),
    )
    _enough(state.dataset, len(initial), frozen, len(test))
    tracker.log_start(state.dataset)
    elements = sorted({int(z) for frame in [*start, *initial, *test] for z in frame.numbers})
    shifts = None
    if config.training.energy_shifts == "isolated_atoms":
        atoms = [isolated_atom(number) for number in elements]
        if label(atoms, folder.isolated_atoms, "isolated atoms").quarantined:
            raise CampaignError(
                "an isolated atom could not be labelled; `alnico quarantine list` says why. Correct it, "
                f"delete {folder.isolated_atoms} and run again, or write `energy_shifts: least_squares`."
            )
        shifts = isolated_atom_energies(elements, store, config.level)

    while True:
        say(f"round {state.round}: {len(state.dataset)} labels")
        trained = train(folder, state.round, state.dataset, elements, shifts)
        tested = evaluate_on_test(folder, state.round, frozen)
        result = RoundResult(
            round=state.round,
            n_labels=len(state.dataset),
            n_train=trained.n_train,
            n_validation=trained.n_validation,
            test=tested.test,
            uncertainty=tested.uncertainty,
            epochs=trained.epochs,
            train_seconds=trained.seconds,
            dataset_fingerprint=state.dataset.fingerprint,
            test_fingerprint=frozen.fingerprint,
        )
        if state.round == config.rounds:
            _record(folder, result, tracker)
            break
        explored = explore_with_committee(folder, state.round, state.dataset.frames)
        selected = select_frames(folder, state.round, state.dataset.frames)
        into = folder.round(state.round).label
        returning = returning_frames(into, state.quarantined, store, config.level)
        tally = label(
            [*selected, *returning],
            into,
            f"round {state.round} labels",
            partial(load_committee, folder, state.round),
        )
        result = result.model_copy(
            update={
                "ledger": explored.ledger,
                "explore_seconds": explored.seconds,
                "surviving_replicas": explored.surviving_replicas,
                "n_selected": len(selected),
                "n_labelled": len(tally.labelled),
                "n_label_failures": len(tally.quarantined),
                "label_seconds": tally.seconds,
            }
        )
        _record(folder, result, tracker)
        if not tally.labelled:
            say("  nothing new was labelled: another training would learn nothing, the campaign ends here")
            break
        state = state.advance(tally)

    finish(folder, up_to=state.round, tracker=tracker)


@dataclass(frozen=True)
class LabelTally:
    """What became of the frames that were to be labelled."""

    labelled: Dataset
    quarantined: tuple[Frame, ...]
    seconds: float


def start_frames(folder: CampaignFolder) -> list[Frame]:
    """The structures of the configuration, checked against the level of theory and the dynamics.

    Raises:
        ConfigError: where a structure cannot be read, is impossible, cannot be labelled, or cannot move
            as the exploration shall.
    """
    config = folder.config
    try:
        frames = config.structure.frames()
        for frame in frames:
            config.level.check(frame)
            config.exploration.ensemble.check(frame)
            if config.training.energy_shifts == "isolated_atoms":
                for number in set(frame.numbers.tolist()):
                    config.level.check(isolated_atom(number))
    except (ValueError, OSError) as error:
        raise ConfigError(f"campaign {config.name}", [f"structure: {error}"]) from error
    if config.labeling.backend == "gpu":
        try:
            require_gpu4pyscf()
        except CannotLabelError as error:
            raise ConfigError(f"campaign {config.name}", [str(error)]) from error
    return frames


def _enough(initial: Dataset, n_initial: int, test: Dataset, n_test: int) -> None:
    if len(test) and len(initial) and 2 * len(initial) >= n_initial:
        return
    raise CampaignError(
        f"too few labels to begin with: {len(initial)} of {n_initial} initial and {len(test)} of {n_test} "
        "test frames have one.\nThe reasons are in labels/outcomes.csv of the campaign. Correct the level of "
        "theory, the spin or the temperatures of the frames, and start under another `name`."
    )


def _record(folder: CampaignFolder, result: RoundResult, tracker: Tracker) -> None:
    """Keep the round's result, and show it: round table in Prefect, metrics in MLflow."""
    round_folder = folder.round(result.round)
    write_atomically(round_folder.result, result.model_dump_json(indent=2))
    results = [r for r in read_results(folder.path) if r.round <= result.round]
    table = markdown_table(round_table(results))
    create_markdown_artifact(
        f"# {folder.config.name}\n\n{table}\n\n{verdict(results)}",
        key=artifact_key(f"{folder.config.name}-rounds"),
        description="The rounds of the campaign",
    )
    tracker.log_round(result, round_folder.path)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends the campaign as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
