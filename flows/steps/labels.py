"""Labels of a set of frames, written into the store the moment they arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.rounds import OUTCOMES_FILE, read_outcomes
from flows.record.stages import Stage, is_finished, is_intact
from flows.steps.confirming import expectations
from flows.steps.elsewhere import await_labels
from flows.steps.explore import frames_digest
from flows.steps.label_tasks import label_in_tasks
from flows.views.console import say
from flows.views.duration import duration
from flows.views.progress import progress
from labeling.cost import STAGES, stage_seconds
from labeling.level import LevelOfTheory, settings
from labeling.spool import Spool, StoreAwayError
from labeling.store import LabelStore
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.evaluator import Evaluator


@dataclass(frozen=True, kw_only=True)
class LabelTally:
    """What became of the frames that were to be labelled; seconds of computing."""

    labelled: Dataset
    quarantined: tuple[Frame, ...]
    seconds: float


def label_frames(
    campaign: CampaignFolder,
    stage: Stage,
    folder: Path,
    frames: Sequence[Frame],
    *,
    store: LabelStore,
    description: str,
    committee: Callable[[], Evaluator] | None = None,
) -> LabelTally:
    """Label all frames that the store does not know; a frame that failed before is not tried again.

    Each outcome is written into the store the moment it arrives, by a thread of this process and by
    nothing else (`label_in_tasks`). `outcomes.csv` has a row a frame:
    frame_id, outcome (labelled or failed), seconds, in all and by stage, and of failures the kind,
    message and advice.

    Args:
        committee: whose energies the labels are compared with; called only if there is anything to do.
    """
    level, spool = campaign.config.level, Spool.beside(store.path, campaign.path)
    inputs = {
        "level": settings(level),
        "frames": frames_digest(frames),
    }

    if not is_finished(folder) or stage.grows:
        await_labels(campaign, frames, store)

    def make(into: Path) -> None:
        missing = [frame for frame in frames if not _known(store, frame, level)]
        with progress(f"{campaign.config.name}-labels", description, len(frames), "label") as done:
            done(len(frames) - len(missing))
            judge = committee if missing and level.can.second_guess else None
            expected = expectations(judge(), missing) if judge else {}
            asked = [(frame, expected.get(frame.id)) for frame in missing]
            if asked:
                for left in label_in_tasks(asked, campaign, store, spool):
                    done(len(frames) - left)
            _empty(spool, store)
        made = _outcomes(store, frames, level)
        if into != folder and (folder / OUTCOMES_FILE).exists():  # it grows, and still says what it said
            before = read_outcomes(folder / OUTCOMES_FILE)
            before = before[before["frame_id"].isin(made["frame_id"])]
            made = pd.concat([before, made[~made["frame_id"].isin(before["frame_id"])]])
        made.to_csv(into / OUTCOMES_FILE, index=False)

    stage.run(folder, inputs, make)
    outcomes = read_outcomes(folder / OUTCOMES_FILE)
    failed = outcomes[outcomes["outcome"] == "failed"]
    say(
        f"  {description}: {len(outcomes) - len(failed)} of {len(outcomes)} labelled, "
        f"{duration(outcomes['seconds'].sum())} of computing"
    )
    for row in failed.itertuples():
        say(f"    no label for {row.frame_id}: {row.kind}. {row.advice}")
    if len(failed):
        say(f"    in quarantine; `alnico quarantine list {campaign.path}` shows them with their numbers")
    labelled = labelled_frames(frames, outcomes, store, level)
    known = {frame.id for frame in labelled.frames}
    return LabelTally(
        labelled=labelled,
        quarantined=tuple(frame for frame in frames if frame.id not in known),
        seconds=float(outcomes["seconds"].sum()),
    )


def labelled_frames(
    frames: Sequence[Frame], outcomes: pd.DataFrame, store: LabelStore, level: LevelOfTheory
) -> Dataset:
    """Those of `frames` that had a label when their stage finished, whatever was released since.

    Raises:
        CampaignError: where the store has lost labels: less would be learned, or tested, without a word.
    """
    labelled = set(outcomes.loc[outcomes["outcome"] == "labelled", "frame_id"])
    wanted = [frame for frame in frames if frame.id in labelled]
    found = store.dataset(wanted, level.key)
    if lost := {frame.id for frame in wanted} - {frame.id for frame in found.frames}:
        raise CampaignError(
            f"{store.path} has no label of {len(lost)} of {len(wanted)} frames that were labelled "
            f"({min(lost)}, ...); put the original store back, or import them from a copy "
            "(`alnico labels import STORE FILE`)"
        )
    return found


def returning_frames(
    folder: Path, waiting: Sequence[Frame], store: LabelStore, level: LevelOfTheory
) -> list[Frame]:
    """Frames that failed in an earlier stage and that the label stage in `folder` takes along.

    They were released from quarantine, or are to be labelled again. A finished stage has taken what
    its outcomes say.
    """
    if is_intact(folder):
        taken = set(read_outcomes(folder / OUTCOMES_FILE)["frame_id"])
        return [frame for frame in waiting if frame.id in taken]
    return [frame for frame in waiting if store.failure(frame.id, level.key) is None]


def take_in_spool(campaign: CampaignFolder, store: LabelStore) -> None:
    """Have the store take what an earlier run computed while it could not be written, with a word.

    Raises:
        CampaignError: if the store still cannot be written.
    """
    _empty(Spool.beside(store.path, campaign.path), store)


def _empty(spool: Spool, store: LabelStore) -> None:
    try:
        taken = spool.empty_into(store)
    except StoreAwayError as error:
        raise CampaignError(str(error)) from error
    for line in taken.words():
        say(f"  {line}")


def _known(store: LabelStore, frame: Frame, level: LevelOfTheory) -> bool:
    return store.get(frame.id, level.key) is not None or store.failure(frame.id, level.key) is not None


def _outcomes(store: LabelStore, frames: Sequence[Frame], level: LevelOfTheory) -> pd.DataFrame:
    return pd.DataFrame([_outcome(store, frame, level) for frame in frames], columns=COLUMNS)


SECONDS = [f"{stage}_seconds" for stage in STAGES]
COLUMNS = ["frame_id", "outcome", "seconds", "kind", "message", "advice", "attempts", *SECONDS]


def _outcome(store: LabelStore, frame: Frame, level: LevelOfTheory) -> dict[str, object]:
    label = store.get(frame.id, level.key)
    if label is not None:
        made = label.provenance
        stages = stage_seconds(made).values()
        what = (frame.id, "labelled", made.get("seconds", 0.0), "", "", "", made.get("attempts", 1), *stages)
        return dict(zip(COLUMNS, what, strict=True))
    failure = store.failure(frame.id, level.key)
    assert failure is not None, f"frame {frame.id} has neither a label nor a failure"
    why = (failure.kind, failure.message, failure.advice, failure.attempts)
    nothing = [0.0 for _ in STAGES]
    return dict(zip(COLUMNS, (frame.id, "failed", failure.seconds, *why, *nothing), strict=True))
