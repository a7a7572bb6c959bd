"""Forms of the stress tensor, in one place.

Inside the project a stress is a symmetric 3x3 matrix in eV/Angstrom^3 with ASE's sign: positive where
the cell wants to shrink, sigma = 1/V dE/d(strain). Two other forms occur at the borders:

| form | where | relation |
|---|---|---|
| Voigt, 6 numbers | ASE's calculators and databases | xx, yy, zz, yz, xz, xy |
| virial W, eV | data sets of GAP, MACE, NEP, dpdata | sigma = -W / V (QUIP's convention) |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from jaxtyping import Float64

SYMMETRIC_WITHIN = 1e-3


def full_stress(values: Any) -> Float64[np.ndarray, "3 3"]:
    """A symmetric 3x3 matrix from 6 components (Voigt's order) or 9, whatever the unit.

    Raises:
        ValueError: for another number of components, values that are not finite, or a matrix whose
            halves differ by more than a thousandth of its largest component.
    """
    numbers = np.array(values, dtype=np.float64)
    if numbers.size not in (6, 9):
        raise ValueError(f"has {numbers.size} components, expected 6 (xx yy zz yz xz xy) or 9")
    if not np.isfinite(numbers).all():
        raise ValueError(f"is not finite: {numbers.ravel().tolist()}")
    if numbers.size == 6:
        full: np.ndarray = voigt_6_to_full_3x3_stress(numbers.reshape(6))
        return full
    matrix = numbers.reshape(3, 3)
    if not np.abs(matrix - matrix.T).max() <= SYMMETRIC_WITHIN * np.abs(matrix).max():
        raise ValueError(f"is not symmetric: {matrix.tolist()}")
    return 0.5 * (matrix + matrix.T)


def voigt_stress(stress: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "6"]:
    """The six components xx, yy, zz, yz, xz, xy of a symmetric matrix."""
    voigt: np.ndarray = full_3x3_to_voigt_6_stress(stress)
    return voigt


def stress_of_virial(virial: Any, cell: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """sigma = -W / V.

    Args:
        virial: eV, 6 or 9 components, with the sign of QUIP, GAP, MACE and NEP.
        cell: rows are the lattice vectors, Angstrom.

    Raises:
        ValueError: as `full_stress`.
    """
    return -full_stress(virial) / abs(float(np.linalg.det(cell)))
