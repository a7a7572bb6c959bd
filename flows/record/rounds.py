"""Where an arm of a campaign keeps its rounds, and a round its stages and tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exploration.strategies import Strategy
from flows.errors import DamagedFileError
from flows.record.results import RESULT_FILE, CalibrationSummary, RoundResult, read_result
from flows.record.table import (
    ARRIVED,
    CALIBRATE,
    CHOOSE,
    EVALUATE,
    EVALUATE_BROAD,
    EXPLORE,
    LABEL,
    REVIEW,
    SELECT,
    SURVIVE,
    TRAIN,
)
from flows.settings.campaign_config import MAIN_ARM
from potential.calibration.calibration import Calibration
from potential.data.tables import DamagedTableError, read_table

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES_FILE = "outcomes.csv"
FIGURES_FOLDER = "figures"


@dataclass(frozen=True)
class Arm:
    """One way to select, with rounds of its own.

    Attributes:
        name: as in the configuration; the campaign's own selection is the arm `active`.
        selection: which frames it labels.
        rounds: the folder of its rounds.
        last: its last round that the configuration asks for.
        start: the arm whose round 0 it shares: both learn there from the same labels.
    """

    name: str
    selection: Strategy
    rounds: Path
    start: Arm | None = None
    last: int | None = None

    @property
    def is_main(self) -> bool:
        return self.name == MAIN_ARM

    def round(self, number: int) -> RoundFolder:
        return RoundFolder(self, number)

    def begun(self) -> list[RoundFolder]:
        """The rounds that have a folder, in order."""
        return [self.round(int(path.name)) for path in sorted(self.rounds.glob("[0-9]*"))]

    def results(self, *, up_to: int | None = None) -> list[RoundResult]:
        """The results of the finished rounds, in order; empty before the first.

        Args:
            up_to: the last that counts; default: the last that the configuration asks for.

        Raises:
            DamagedFileError: where a result file cannot be read, or is that of another round.
        """
        found = [read_result(path) for path in self.rounds.glob(f"*/{RESULT_FILE}")]
        last = self.last if up_to is None else up_to
        wanted = [result for result in found if last is None or result.round <= last]
        return sorted(wanted, key=lambda result: result.round)

    def whole_results(self) -> list[RoundResult]:
        """The results of the finished rounds, none of which may be missing between others.

        Raises:
            DamagedFileError: where one is missing, or cannot be read.
        """
        results = self.results()
        there = [result.round for result in results]
        first = 0 if self.is_main else min(there, default=0)
        if missing := sorted(set(range(first, max(there, default=0))) - set(there)):
            path = self.round(missing[0]).result
            raise DamagedFileError(
                f"{path} is missing, and later rounds have theirs. Put it back, or run it again: it "
                "is made anew from the round's stages."
            )
        return results


@dataclass(frozen=True)
class RoundFolder:
    """The folders of one round's stages, and the tables in them that others read."""

    arm: Arm
    number: int

    def __str__(self) -> str:
        return f"round {self.number}" if self.arm.is_main else f"{self.arm.name}, round {self.number}"

    @property
    def path(self) -> Path:
        return self.arm.rounds / f"{self.number:02d}"

    @property
    def previous(self) -> RoundFolder:
        return self.arm.round(self.number - 1)

    @property
    def _learned(self) -> Path:
        """Before the first selection all arms are the same committee."""
        start = self.arm.start
        return self.path if start is None or self.number > 0 else start.round(0).path

    @property
    def train(self) -> Path:
        return self._learned / TRAIN.name

    @property
    def potential(self) -> Path:
        return self.train / "potential"

    @property
    def history(self) -> Path:
        """Training history, a row per epoch."""
        return self.train / "history.csv"

    @property
    def evaluate(self) -> Path:
        return self._learned / EVALUATE.name

    @property
    def test_atoms(self) -> Path:
        """Reference, prediction, error and disagreement of every test atom."""
        return self.evaluate / "test_atoms.csv"

    @property
    def test_errors(self) -> Path:
        """Number of atoms and errors of every test frame."""
        return self.evaluate / "test_frames.csv"

    @property
    def evaluate_broad(self) -> Path:
        return self._learned / EVALUATE_BROAD.name

    def tests(self) -> dict[str, Path]:
        """The atoms of each frozen test, by its name; the file is there once the round is evaluated."""
        return {"test": self.test_atoms, "broad": self.evaluate_broad / self.test_atoms.name}

    @property
    def calibrate(self) -> Path:
        return self._learned / CALIBRATE.name

    @property
    def calibration_summary(self) -> Path:
        return self.calibrate / "summary.json"

    def calibration(self) -> Calibration | None:
        """The round's calibration, once it is there."""
        path = self.calibration_summary
        return CalibrationSummary.model_validate_json(path.read_text()).calibration if path.exists() else None

    @property
    def choose(self) -> Path:
        """Which round so far is the champion."""
        return self._learned / CHOOSE.name

    @property
    def survive(self) -> Path:
        return self._learned / SURVIVE.name

    @property
    def arrived(self) -> Path:
        """What the round's committee says of the labels that came after its training."""
        return self.path / ARRIVED.name

    @property
    def explore(self) -> Path:
        return self.path / EXPLORE.name

    @property
    def replicas(self) -> Path:
        """How long each replica of the dynamics ran."""
        return self.explore / "replicas.csv"

    @property
    def select(self) -> Path:
        return self.path / SELECT.name

    @property
    def selection(self) -> Path:
        """The decision on every explored frame, with its reason."""
        return self.select / "selection.csv"

    @property
    def selection_warnings(self) -> Path:
        return self.select / "warnings.txt"

    @property
    def review(self) -> Path:
        """What a person was asked about the selection, and answered."""
        return self.path / REVIEW.name

    @property
    def label(self) -> Path:
        return self.path / LABEL.name

    @property
    def outcomes(self) -> Path:
        """What became of every frame that was to be labelled."""
        return self.label / OUTCOMES_FILE

    @property
    def figures(self) -> Path:
        return self.path / FIGURES_FOLDER

    @property
    def result(self) -> Path:
        return self.path / RESULT_FILE


def read_outcomes(path: Path) -> pd.DataFrame:
    """What became of each frame of a label stage."""
    table = read_table(path, needs=("frame_id", "outcome"))
    if unknown := sorted(set(table["outcome"]) - {"labelled", "failed"}):
        raise DamagedTableError(path, f"outcome is {unknown[0]!r}, neither labelled nor failed")
    return table
