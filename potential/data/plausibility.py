"""Is this structure physically possible? Shortest distances, electron count, spin. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from jaxtyping import Float64
from matscipy.neighbours import neighbour_list

from potential.data.frame import Frame

OVERLAP_FACTOR = 0.5
"""Atoms closer than this fraction of the sum of their covalent radii overlap: no bond is so short."""

LARGEST_ANGSTROM = 1000.0
"""A tenth of a micrometre holds a hundred million atoms: a wider structure is one in other units."""

FARTHEST_PER_LARGEST = 1000.0
"""Atoms that wander through periodic images may be so many times farther from the origin than that."""

THINNEST_ANGSTROM = 0.1
"""Lattice planes nearer than this leave no room for an atom; in metres every cell is so thin."""


@dataclass(frozen=True, kw_only=True)
class AtomPair:
    """Two atoms and how close they are.

    Attributes:
        first, second: indices of the atoms; the same atom twice means an atom and its own periodic image.
        distance: Angstrom, the nearest periodic images counted.
        ratio: distance over the sum of the covalent radii (Cordero et al., Dalton Trans. 2008, 2832).
    """

    first: int
    second: int
    distance: float
    ratio: float


def closest_pair(frame: Frame) -> AtomPair | None:
    """The pair with the smallest distance relative to its covalent radii, periodic images included.

    None if no two atoms are nearer than the sum of their covalent radii. Positions must be finite.
    """
    radii = covalent_radii[frame.numbers]
    # Per-atom radii as the cutoff: only pairs nearer than the sum of their radii come back.
    first, second, distance = neighbour_list(
        "ijd",
        positions=frame.positions,
        cell=box(frame),
        pbc=list(frame.pbc),
        cutoff=radii,
        cell_origin=frame.positions.min(axis=0),
    )
    if distance.size == 0:
        return None
    ratio = distance / (radii[first] + radii[second])
    k = int(ratio.argmin())
    return AtomPair(
        first=int(first[k]), second=int(second[k]), distance=float(distance[k]), ratio=float(ratio[k])
    )


def describe_pair(frame: Frame, pair: AtomPair) -> str:
    """For messages: `C0-H3 0.412 Å, 0.38 of their covalent radii`."""
    symbols = frame.symbols
    names = f"{symbols[pair.first]}{pair.first}-{symbols[pair.second]}{pair.second}"
    image = " (its periodic image)" if pair.first == pair.second else ""
    return f"{names}{image} {pair.distance:.3f} Å, {pair.ratio:.2f} of their covalent radii"


def thickness(frame: Frame) -> float:
    """Smallest distance of lattice planes along the periodic directions, Angstrom; infinity without one."""
    return float(heights(frame).min())


def heights(frame: Frame) -> Float64[np.ndarray, "3"]:
    """Distance of the lattice planes along each vector, Angstrom; infinity where it is not periodic."""
    periodic = np.array(frame.pbc)
    # The planes along vector i are 1 / |i-th reciprocal vector| apart.
    reciprocal = np.linalg.pinv(np.where(periodic[:, None], frame.cell, 0.0))
    lengths = np.linalg.norm(reciprocal, axis=0)
    return np.where(periodic, 1 / np.where(periodic, lengths, 1.0), np.inf)


def n_electrons(frame: Frame) -> int:
    """All electrons, core included."""
    return int(frame.numbers.sum()) - frame.charge


def lowest_spin(numbers: np.ndarray, charge: int) -> int:
    """0 unpaired electrons for an even number of electrons, 1 for an odd one."""
    return (int(numbers.sum()) - charge) % 2


def check_frame(frame: Frame, *, min_distance_factor: float = OVERLAP_FACTOR) -> None:
    """Refuse a structure that no method could treat.

    Raises:
        ValueError: no atoms, an unknown element, positions or cell not finite, a periodic direction
            without a lattice vector, a size that is not in Angstrom (`LARGEST_ANGSTROM`,
            `THINNEST_ANGSTROM`), more charge than electrons, a spin that the electrons cannot
            have, or two atoms nearer than `min_distance_factor` times their covalent radii.
    """
    if len(frame) == 0:
        raise ValueError("the structure has no atoms")
    unknown = sorted({int(z) for z in frame.numbers if not 1 <= z <= 118})
    if unknown:
        raise ValueError(
            f"atomic numbers {unknown} are no elements (1 to 118 are); "
            "remove dummy atoms (X) and ghost atoms from the structure"
        )
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell).all()):
        raise ValueError("positions or cell contain values that are not finite (NaN or infinity)")
    _check_cell(frame)
    _check_size(frame)
    _check_spin(frame)
    pair = closest_pair(frame)
    if pair is not None and pair.ratio < min_distance_factor:
        raise ValueError(
            f"atoms overlap: {describe_pair(frame, pair)} (expected at least {min_distance_factor}); "
            "check the units (Å), duplicated atoms and, if periodic, the cell"
        )


def _check_cell(frame: Frame) -> None:
    periodic = np.array(frame.pbc)
    if np.linalg.matrix_rank(frame.cell[periodic]) < periodic.sum():
        raise ValueError(
            f"periodic along {list(frame.pbc)}, but those lattice vectors do not span it: "
            f"{frame.cell.tolist()}; give the cell in Å as rows, or set pbc to false"
        )


def _check_size(frame: Frame) -> None:
    """Before anything looks for neighbours, which takes a long time in cells of these sizes."""
    free = np.where(np.array(frame.pbc)[:, None], 0.0, box(frame))
    wide = float(max(np.linalg.norm(frame.cell, axis=1).max(), np.linalg.norm(free, axis=1).max()))
    far = float(np.abs(frame.positions).max())
    if not max(wide, far / FARTHEST_PER_LARGEST) <= LARGEST_ANGSTROM:
        raise ValueError(
            f"{frame.formula} is {max(wide, far):.3g} Å wide or as far from the origin, expected at most "
            f"{LARGEST_ANGSTROM:g} Å; check the units (Å), stray atoms and the cell"
        )
    thin = thickness(frame)
    if not thin >= THINNEST_ANGSTROM:
        raise ValueError(
            f"the cell of {frame.formula} is {thin:.3g} Å thin, expected at least {THINNEST_ANGSTROM:g} Å: "
            "no atom fits; check the units (Å) and the cell"
        )


def _check_spin(frame: Frame) -> None:
    electrons, spin = n_electrons(frame), frame.spin
    if electrons < 0:
        raise ValueError(
            f"charge {frame.charge:+d} takes more electrons than {frame.formula} has "
            f"({int(frame.numbers.sum())}); the charge is in elementary charges, e.g. charge: 1"
        )
    if spin < 0 or spin > electrons or (electrons - spin) % 2:
        possible = [s for s in range(electrons % 2, electrons + 1, 2)][:3]
        raise ValueError(
            f"spin {spin} is impossible for {frame.formula} with charge {frame.charge:+d}, which has "
            f"{electrons} electrons; spin is the number of unpaired electrons 2S (multiplicity - 1): "
            f"write spin: {' or '.join(map(str, possible))}"
        )


def box(frame: Frame) -> np.ndarray:
    """Three independent vectors: the lattice vectors of the periodic directions, any others beside them."""
    cell, free = np.array(frame.cell), ~np.array(frame.pbc)
    # Rows of vt beyond the rank of the periodic vectors span what they leave free.
    _, _, vt = np.linalg.svd(np.where(free[:, None], 0.0, cell))
    extent = float(np.ptp(frame.positions, axis=0).max(initial=0.0)) + 1.0
    cell[free] = extent * vt[3 - int(free.sum()) :]
    return cell
