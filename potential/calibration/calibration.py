"""A map from a committee's disagreement to the force error to expect, and what it is worth.

The law and how it is fitted are in `potential.calibration.fit`. Light to import: results and reports
read these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.sealed import sealed, unsealed

FILE = "calibration.json"

LEVELS = (0.68, 0.90, 0.95)
"""Of the intervals."""

NORMAL_RATIOS = (1.17335, 1.56682, 1.75181)
"""|e| / E|e| at `LEVELS` for a normal error in three dimensions (quantiles of Maxwell's distribution)."""

EXPECTED_LENGTH = math.sqrt(8 / math.pi)
"""E|e| / sigma for a normal error in three dimensions."""

EXPECTED_COMPONENT = math.sqrt(2 / math.pi)
"""E|e_x| / sigma: the mean absolute error of components, which the test errors are."""


class Calibration(Config):
    """A fitted map from disagreement to error; sigma = scale (d / floor)^exponent.

    Attributes:
        exponent: b.
        scale: sigma at the floor, eV/Angstrom, of an element that the fit has not seen.
        scales: the same by chemical symbol.
        floor: disagreement, eV/Angstrom, below which nothing more is believed.
        ratios: |error| over expected error that a share `LEVELS` of unseen atoms stays below; None where
            there are too few to say.
        n_frames, n_atoms: what it was fitted on.
    """

    exponent: float
    scale: float
    scales: dict[str, float]
    floor: float
    ratios: tuple[float | None, ...]
    n_frames: int
    n_atoms: int

    def save(self, folder: Path) -> None:
        """Write it beside a potential's weights."""
        write_atomically(folder / FILE, sealed(self.model_dump(mode="json")) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Calibration | None:
        """That of a potential; None where it has none.

        Raises:
            ValueError: for a damaged file.
        """
        file = folder / FILE
        try:
            return cls.model_validate(unsealed(file.read_bytes())) if file.exists() else None
        except (ValueError, IsADirectoryError) as error:
            why = str(error).splitlines()[0]
            raise ValueError(f"{file} is damaged: {why}; copy the potential anew, or delete it") from None

    def sigma(
        self, disagreement: Float64[np.ndarray, "atoms"], symbols: Sequence[str]
    ) -> Float64[np.ndarray, "atoms"]:
        """Standard deviation of each atom's force components, eV/Angstrom; NaN where the disagreement is."""
        scales = np.array([self.scales.get(symbol, self.scale) for symbol in symbols], dtype=np.float64)
        sigma: np.ndarray = scales * (np.maximum(disagreement, self.floor) / self.floor) ** self.exponent
        return sigma

    def expected_error(
        self, disagreement: Float64[np.ndarray, "atoms"], symbols: Sequence[str]
    ) -> Float64[np.ndarray, "atoms"]:
        """Expected length of each atom's error vector, eV/Angstrom."""
        return EXPECTED_LENGTH * self.sigma(disagreement, symbols)

    def ratio(self, level: float) -> float:
        """|error| over expected error at a level; that of a normal error where the data were too few.

        Raises:
            ValueError: for a level that is none of `LEVELS`.
        """
        if level not in LEVELS:
            raise ValueError(f"no interval at {level}; choose one of {', '.join(map(str, LEVELS))}")
        found = self.ratios[LEVELS.index(level)]
        return NORMAL_RATIOS[LEVELS.index(level)] if found is None else found


class CalibrationScores(Config):
    """On one set of labels; None where a score is not defined.

    Attributes:
        bound_eV_per_A: of the AUROC.
        coverage: for each of `LEVELS`.
        crps: eV/Angstrom.
        expected_mae, mae: of force components, eV/Angstrom: as the calibration expects, and as it is.
    """

    n_frames: int
    n_atoms: int
    spearman: float | None
    auroc: float | None
    bound_eV_per_A: float
    coverage: tuple[float, ...]
    ence: float | None
    nll: float
    crps: float
    expected_mae: float
    mae: float
