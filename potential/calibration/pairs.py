"""Disagreement and true error of atoms whose labels no member of the committee was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """One row an atom.

    Attributes:
        frame_ids: the frame of each atom; atoms of one frame are not independent.
        symbols: chemical symbols.
        disagreement: of the committee, eV/Angstrom (`CommitteePrediction.force_disagreement`).
        errors: force of the committee's mean less the label's, eV/Angstrom.
    """

    frame_ids: tuple[str, ...]
    symbols: tuple[str, ...]
    disagreement: Float64[np.ndarray, "atoms"]
    errors: Float64[np.ndarray, "atoms 3"]

    @classmethod
    def of(cls, atoms: pd.DataFrame) -> Pairs:
        """From `Evaluation.atoms`; atoms with a number that is not finite are left out."""
        errors = atoms[["fx", "fy", "fz"]].to_numpy(float) - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy(
            float
        )
        disagreement = atoms["force_disagreement"].to_numpy(float)
        good = np.isfinite(disagreement) & np.isfinite(errors).all(axis=1)
        return cls(
            frame_ids=tuple(map(str, atoms["frame_id"][good])),
            symbols=tuple(map(str, atoms["symbol"][good])),
            disagreement=disagreement[good],
            errors=errors[good],
        )

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """All rows, in order."""
        return cls(
            frame_ids=tuple(i for part in parts for i in part.frame_ids),
            symbols=tuple(s for part in parts for s in part.symbols),
            disagreement=np.concatenate([np.zeros(0), *(part.disagreement for part in parts)]),
            errors=np.concatenate([np.zeros((0, 3)), *(part.errors for part in parts)]),
        )

    @property
    def lengths(self) -> Float64[np.ndarray, "atoms"]:
        """Length of each error vector, eV/Angstrom."""
        lengths: np.ndarray = np.linalg.norm(self.errors, axis=1)
        return lengths

    @property
    def n_frames(self) -> int:
        return len(set(self.frame_ids))

    def __len__(self) -> int:
        return len(self.frame_ids)

    def of_frames(self, frame_ids: set[str]) -> Pairs:
        """The rows of these frames."""
        rows = np.array([i in frame_ids for i in self.frame_ids], dtype=bool)
        return Pairs(
            frame_ids=tuple(i for i, mine in zip(self.frame_ids, rows, strict=True) if mine),
            symbols=tuple(s for s, mine in zip(self.symbols, rows, strict=True) if mine),
            disagreement=self.disagreement[rows],
            errors=self.errors[rows],
        )
