"""Energies along a distance, an angle or a dihedral, with what the members say of each point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixInternals
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from jaxtyping import Float64
from scipy.sparse.csgraph import connected_components

from potential.calculator import Potential
from potential.data.frame import Frame
from potential.properties.optimum import relaxed

NAMES = {2: ("distance", "Å"), 3: ("angle", "°"), 4: ("dihedral", "°")}
"""What two, three and four atoms have, and its unit."""


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A distance of two atoms (Angstrom), an angle of three or a dihedral of four (degrees).

    Raises:
        ValueError: for another number of atoms, or the same one twice.
    """

    atoms: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.atoms) not in NAMES or len(set(self.atoms)) < len(self.atoms):
            raise ValueError(
                f"atoms {list(self.atoms)} are no coordinate: give two for a distance, three for an angle, "
                "four for a dihedral, each once"
            )

    @property
    def name(self) -> str:
        return NAMES[len(self.atoms)][0]

    @property
    def unit(self) -> str:
        return NAMES[len(self.atoms)][1]

    def check(self, frame: Frame) -> None:
        """Raise ValueError where the frame has no such atoms."""
        if not all(0 <= i < len(frame) for i in self.atoms):
            raise ValueError(
                f"atoms {list(self.atoms)} of {frame.formula}; they are counted from 0 to {len(frame) - 1}"
            )

    def value(self, atoms: Atoms) -> float:
        return float(getattr(atoms, f"get_{self.name}")(*self.atoms))

    def set(self, atoms: Atoms, value: float) -> None:
        """Move what hangs on the last atom; the last atom alone where a ring holds it."""
        side = _side(atoms, *self.atoms[-2:])
        if self.name == "distance":
            atoms.set_distance(self.atoms[0], self.atoms[1], value, fix=0, indices=side)
        else:
            getattr(atoms, f"set_{self.name}")(*self.atoms, value, indices=side)

    def held(self, value: float) -> FixInternals:
        """ASE's constraint that keeps it at `value`."""
        if self.name == "distance":
            return FixInternals(bonds=[[value, list(self.atoms)]])
        return FixInternals(**{f"{self.name}s_deg": [[value, list(self.atoms)]]})


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """A point of a scan; energies eV, forces eV/Angstrom.

    Attributes:
        value: of the coordinate.
        energy: of the committee's mean.
        of_members: what each member says.
        max_force_disagreement: of the atom on which they disagree most.
        max_expected_error: of the atom for which it is largest; None for a potential without calibration.
        max_extrapolation: of the atom that is farthest from training (`potential.known_environments`); None
            for a potential that came without its training's environments.
    """

    value: float
    atoms: Atoms
    energy: float
    of_members: Float64[np.ndarray, "members"]
    max_force_disagreement: float
    max_expected_error: float | None
    max_extrapolation: float | None


def scan(
    potential: Potential,
    frame: Frame,
    coordinate: Coordinate,
    values: Sequence[float],
    *,
    relax: bool = False,
    max_force: float = 0.01,
    max_steps: int = 1000,
) -> Iterator[Point]:
    """The structures with `coordinate` at each of `values`, in turn, from the last one on.

    Args:
        relax: all else relaxes to `max_force` (eV/Angstrom) at each point; otherwise two rigid parts move.

    Raises:
        ValueError: for atoms that are not there.
        NotRelaxedError: if `max_steps` are not enough.
    """
    coordinate.check(frame)
    atoms = frame.to_atoms()
    fixed = [FixAtoms(list(frame.fixed))] if frame.fixed else []
    for value in values:
        atoms.set_constraint()
        coordinate.set(atoms, value)
        if relax:
            atoms.set_constraint([*fixed, coordinate.held(value)])
            atoms = relaxed(atoms, potential, max_force=max_force, max_steps=max_steps)
            atoms.set_constraint()
        potential.calculate(atoms)
        found: Any = potential.results
        yield Point(
            value=coordinate.value(atoms),
            atoms=atoms.copy(),
            energy=float(found["energy"]),
            of_members=np.array(found["member_energies"]),
            max_force_disagreement=float(found["force_disagreement"].max()),
            max_expected_error=_largest(found.get("expected_error")),
            max_extrapolation=_largest(found.get("extrapolation")),
        )


def _largest(values: np.ndarray | None) -> float | None:
    return None if values is None else float(values.max())


def relative(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray | None]:
    """Energies over the lowest point's, eV, and the members' sample standard deviation of just that.

    What all points share cancels: each member is compared with itself at the lowest point. None for a
    single member.
    """
    energies = np.array([point.energy for point in points])
    lowest = int(energies.argmin())
    members = np.array([point.of_members for point in points])
    spread = (members - members[lowest]).std(axis=1, ddof=1) if members.shape[1] > 1 else None
    return energies - energies[lowest], spread


def _side(atoms: Atoms, first: int, last: int) -> list[int]:
    """The atoms bonded to `last` without passing `first`; `last` alone where `first` is among them."""
    bonds = build_neighbor_list(
        atoms, natural_cutoffs(atoms, mult=1.15), bothways=True, self_interaction=False
    ).get_connectivity_matrix(sparse=True)
    bonds[first, last] = bonds[last, first] = 0
    _, part = connected_components(bonds, directed=False)
    side = [] if part[first] == part[last] else np.flatnonzero(part == part[last]).tolist()
    return side or [last]
