"""What a round leaves behind, as one JSON file that status, report and tracking all read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from flows.errors import DamagedFileError, problems_of
from flows.record.old_results import composed
from flows.settings.campaign_config import MAIN_ARM
from potential.calibration.calibration import Calibration, CalibrationScores
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.sealed import sealed, unsealed

RESULT_FILE = "result.json"
SUMMARY_FILE = "summary.json"
"""What a stage says of itself, in its folder."""
DURATIONS = ("seconds", "hours", "cost")
"""No part of the digest: a campaign that was killed and went on has the same as one that was not."""


class ErrorMetrics(Config):
    """Errors on the frozen test set: energies in eV/atom, forces in eV/Angstrom."""

    n_frames: int
    energy_mae: float
    energy_rmse: float
    force_mae: float
    force_rmse: float


class UncertaintyMetrics(Config):
    """How well the committee's force disagreement tells its true force error, over the test atoms."""

    mean_force_disagreement: float
    max_force_disagreement: float
    spearman: float | None


class LedgerCounts(Config):
    """Frames of the exploration by verdict."""

    accurate: int
    candidate: int
    failed: int

    @property
    def total(self) -> int:
        return self.accurate + self.candidate + self.failed


class TrainingSummary(Config):
    """What a training says of itself; `fingerprint` is the dataset's, before it was split.

    `backend` names how the model ran (None in folders of older versions).
    """

    n_train: int
    n_validation: int
    epochs: int
    seconds: float
    fingerprint: str | None
    backend: str | None = None


class EvaluationSummary(Config):
    """Errors and uncertainty on the frozen test set; `fingerprint` is the test set's.

    `more` has the metrics of `potential.metrics` by name, in eV and eV/Angstrom; `intervals` the 95 %
    interval of these and of the errors, over the test frames. Both are empty in folders of older versions.
    """

    test: ErrorMetrics
    uncertainty: UncertaintyMetrics
    fingerprint: str | None
    more: dict[str, float] = {}  # noqa: RUF012 (pydantic copies it)
    intervals: dict[str, tuple[float, float]] = {}  # noqa: RUF012 (pydantic copies it)

    def values(self) -> dict[str, float]:
        """Every metric by its name in `potential.metrics`, in eV and eV/Angstrom."""
        numbers = self.test.model_dump(exclude={"n_frames"}) | {"spearman": self.uncertainty.spearman}
        return {name: value for name, value in (numbers | self.more).items() if value is not None}


class CalibrationSummary(Config):
    """The round's map from disagreement to expected error, and how it does on the frozen tests.

    `calibration` is None where there are too few labels that the committee was not trained on:
    `n_held_out` of this round's, `n_arrived` scored by the committee before they were trained on.
    """

    calibration: Calibration | None
    n_held_out: int
    n_arrived: int
    scores: dict[str, CalibrationScores] = {}  # noqa: RUF012 (pydantic copies it)


class ChampionSummary(Config):
    """Which of an arm's rounds so far is its champion, by labels that neither round had learned from.

    Attributes:
        round: the champion, the newest round unless the champion before it is better beyond doubt.
        before: the champion before this round; None in round 0.
        n_held_out: frames that this round holds out, which no round before it was trained on.
        force_mae: this round's on them, eV/Angstrom; `before_force_mae` that of the champion before.
        difference: interval (95 %) of the first less the second, over the same frames; None where they
            are too few to tell.
        said: why, in words.
    """

    round: int
    before: int | None = None
    n_held_out: int
    force_mae: float | None = None
    before_force_mae: float | None = None
    difference: tuple[float, float] | None = None
    said: str


class ArrivedSummary(Config):
    """What the round's committee and calibration were worth on the labels that came afterwards."""

    errors: ErrorMetrics
    scores: CalibrationScores | None


class Survival(Config):
    """At one temperature: replicas, how many ran to the end, mean time until they stopped or ended."""

    temperature_K: float
    replicas: int
    survived: int
    mean_time_fs: float


class SurvivalSummary(Config):
    """The round's committee in the campaign's survival test."""

    at: tuple[Survival, ...]
    length_fs: float
    seconds: float

    @property
    def share(self) -> float:
        """Of all replicas."""
        return sum(found.survived for found in self.at) / sum(found.replicas for found in self.at)


class ExplorationSummary(Config):
    """What exploration met; `expected_error` of the physical frames' atoms where it was asked for, eV/Å."""

    ledger: LedgerCounts
    surviving_replicas: float
    seconds: float
    expected_error: float | None = None


class SelectionSummary(Config):
    """How many frames were selected, and what a user should know of it.

    `near_duplicates` is the share of them that hardly differ from a labelled frame or another pick;
    `n_dropped` of them were dropped in review.
    """

    n_selected: int
    warnings: tuple[str, ...] = ()
    near_duplicates: float | None = None
    n_dropped: int = 0


class LabelSummary(Config):
    """What became of the frames that were to be labelled; seconds of computing."""

    n_labelled: int
    n_failed: int
    seconds: float


class Condition(Config):
    """One condition to stop; `holds` is None where it was not measured, `said` has the numbers."""

    name: str
    holds: bool | None
    said: str


class StopVerdict(Config):
    """Which conditions to stop hold after a round, and whether the arm has ended with it.

    Attributes:
        ended: why; None where the campaign goes on.
        hours: of computing so far, the start included; `cost` is its price where one is given.
        gain: share of the frozen test's force error that the round gained, from `gain_low` to `gain_high`
            with 95 %; None in round 0.
        fall: the same since round 0, with its interval; None in round 0 and in folders of older versions.
        advice: what to do next; "" where nothing follows from the numbers.
    """

    conditions: tuple[Condition, ...]
    ended: str | None
    hours: float
    cost: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    fall: float | None = None
    fall_interval: tuple[float, float] | None = None
    advice: str = ""


class RoundResult(Config):
    """One turn of the loop: what its stages say of themselves. Stages that did not run are None.

    `n_labels` counts the labels that may be learned from (training and validation), the x axis of
    the learning curve; the frozen test set is not among them.
    """

    round: int
    arm: str = MAIN_ARM
    n_labels: int
    training: TrainingSummary
    evaluation: EvaluationSummary
    broad: EvaluationSummary | None = None
    calibration: CalibrationSummary | None = None
    champion: ChampionSummary | None = None
    survival: SurvivalSummary | None = None
    exploration: ExplorationSummary | None = None
    selection: SelectionSummary | None = None
    labels: LabelSummary | None = None
    arrived: ArrivedSummary | None = None
    stop: StopVerdict | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_one_level(cls, data: Any) -> Any:
        """Results of version 0.1.0 kept the numbers of all stages side by side."""
        return composed(data) if isinstance(data, dict) and "train_seconds" in data else data

    @property
    def test(self) -> ErrorMetrics:
        """Errors on the frozen test set."""
        return self.evaluation.test

    @property
    def uncertainty(self) -> UncertaintyMetrics:
        return self.evaluation.uncertainty

    @property
    def ledger(self) -> LedgerCounts | None:
        return None if self.exploration is None else self.exploration.ledger

    @property
    def explore_seconds(self) -> float | None:
        return None if self.exploration is None else self.exploration.seconds

    @property
    def label_seconds(self) -> float | None:
        return None if self.labels is None else self.labels.seconds

    @property
    def seconds(self) -> float:
        """Of all stages; labels count with the seconds of computing, whoever did it at once."""
        tried = 0.0 if self.survival is None else self.survival.seconds
        return self.training.seconds + tried + (self.explore_seconds or 0.0) + (self.label_seconds or 0.0)


def write_result(path: Path, result: RoundResult) -> None:
    """Keep the result of a round, atomically."""
    write_atomically(path, sealed(result.model_dump(mode="json"), aside=DURATIONS))


def read_result(path: Path) -> RoundResult:
    """The result of a finished round.

    Raises:
        DamagedFileError: where the file cannot be read, or was altered.
    """
    try:
        result = RoundResult.model_validate(unsealed(path.read_bytes(), aside=DURATIONS))
    except (ValueError, IsADirectoryError) as error:
        why = problems_of(error)[0] if isinstance(error, ValidationError) else str(error)
        raise DamagedFileError(
            f"{path} is not the result of a round ({why[:200]}); delete it to redo it"
        ) from None
    if path.parent.name.isdigit() and result.round != int(path.parent.name):
        raise DamagedFileError(f"{path} is the result of round {result.round}; delete it to redo it")
    return result
