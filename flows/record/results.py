"""What a round leaves behind, as one JSON file that status, report and tracking all read."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from potential.data.config import Config

RESULT_FILE = "result.json"


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


class RoundResult(Config):
    """One turn of the loop. Stages not run (the last round explores nothing) are None.

    `n_labels` counts the labels that may be learned from (training and validation), the x axis of
    the learning curve; the frozen test set is not among them.
    """

    round: int
    n_labels: int
    n_train: int
    n_validation: int
    test: ErrorMetrics
    uncertainty: UncertaintyMetrics
    epochs: int
    train_seconds: float
    ledger: LedgerCounts | None = None
    explore_seconds: float | None = None
    surviving_replicas: float | None = None
    n_selected: int | None = None
    n_labelled: int | None = None
    n_label_failures: int | None = None
    label_seconds: float | None = None
    dataset_fingerprint: str | None = None
    test_fingerprint: str | None = None


def read_results(campaign: Path) -> list[RoundResult]:
    """The results of the finished rounds, `rounds/NN/result.json`, in order; empty before the first.

    Raises:
        ValueError: where a result file cannot be read.
    """
    results = []
    for path in (campaign / "rounds").glob(f"*/{RESULT_FILE}"):
        try:
            results.append(RoundResult.model_validate_json(path.read_text()))
        except ValidationError as error:
            raise ValueError(f"{path} is not the result of a round: {error}; delete it to redo it") from error
    return sorted(results, key=lambda result: result.round)
