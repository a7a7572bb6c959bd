"""The structure of lowest energy near by, as the committee sees it and as each member does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.optimize import BFGS
from jaxtyping import Float64

from potential.calculator import Potential
from potential.data.frame import Frame
from potential.properties.member import members_of


class NotRelaxedError(Exception):
    """A relaxation did not end within its steps."""


@dataclass(frozen=True, kw_only=True)
class Bond:
    """Two bonded atoms; `disagreement` is the sample standard deviation of the members' lengths."""

    first: int
    second: int
    length_A: float
    disagreement_A: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """Of `optimise`.

    Attributes:
        atoms: the relaxed structure, with the committee as its calculator.
        of_members: the structures that the members relax to from there; none for a single member.
        energy: eV.
        energy_disagreement: eV, at the relaxed structure.
        max_force: eV/Angstrom, that is left.
    """

    atoms: Atoms
    of_members: tuple[Atoms, ...]
    energy: float
    energy_disagreement: float
    max_force: float

    def bonds(self) -> list[Bond]:
        """Lengths of the bonds, as covalent radii tell them, with the members' spread."""
        first, second = neighbor_list("ij", self.atoms, natural_cutoffs(self.atoms, mult=1.15))
        pairs = [(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j]
        return [
            Bond(
                first=i,
                second=j,
                length_A=float(self.atoms.get_distance(i, j, mic=True)),
                disagreement_A=_spread([other.get_distance(i, j, mic=True) for other in self.of_members]),
            )
            for i, j in dict.fromkeys(pairs)
        ]


def optimise(
    potential: Potential, frame: Frame, *, max_force: float = 0.005, max_steps: int = 1000
) -> Optimum:
    """Relax the positions (BFGS of ASE), first with the committee's mean, from there with each member.

    The cell stays, and so do fixed atoms.

    Args:
        max_force: eV/Angstrom, of the atom with the largest force, at which it ends.

    Raises:
        NotRelaxedError: if `max_steps` are not enough.
    """
    atoms = relaxed(frame.to_atoms(), potential, max_force=max_force, max_steps=max_steps)
    others = [relaxed(atoms, m, max_force=max_force, max_steps=max_steps) for m in members_of(potential)]
    potential.calculate(atoms)  # the members have left other results behind
    return Optimum(
        atoms=atoms,
        of_members=tuple(others),
        energy=float(potential.results["energy"]),
        energy_disagreement=float(potential.results["energy_disagreement"]),
        max_force=_largest(atoms.get_forces()),
    )


def relaxed(atoms: Atoms, calculator: Calculator, *, max_force: float, max_steps: int) -> Atoms:
    """A relaxed copy of `atoms`, with `calculator`.

    Raises:
        NotRelaxedError: if `max_steps` are not enough.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    if not BFGS(atoms, logfile=None).run(fmax=max_force, steps=max_steps):
        raise NotRelaxedError(
            f"{atoms.get_chemical_formula()} is not relaxed after {max_steps} steps: a force of "
            f"{_largest(atoms.get_forces()):.3g} eV/Å is left, wanted {max_force:g}; "
            "allow more steps or a larger force"
        )
    return atoms


def _largest(forces: Float64[np.ndarray, "atoms 3"] | np.ndarray) -> float:
    return float(np.linalg.norm(forces, axis=1).max(initial=0.0))


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
