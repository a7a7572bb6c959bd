"""Harmonic frequencies of a committee, with the spread of its members.

    H_w = P M^(-1/2) H M^(-1/2) P,   H_w e_k = omega_k^2 e_k,   nu_k = omega_k / (2 pi c)

| symbol | here | unit |
|---|---|---|
| H | ASE's finite differences of the forces (`ase.vibrations.Vibrations`) | eV/Angstrom^2 |
| M | the atoms' masses | amu |
| P | takes out translations, and rotations of what is not periodic (`_motions`) | |
| e_k | a row of `Modes.vectors` | |
| nu_k | `Modes.wavenumbers`; imaginary ones as negative numbers | 1/cm |

Each member has its own minimum, since a bond that is 1 mAngstrom longer moves its stretch by some 10 /cm. So
every member relaxes and vibrates by itself; its modes are told apart by their overlap with the mean's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms, units
from ase.vibrations import Vibrations
from jaxtyping import Float64
from scipy.optimize import linear_sum_assignment

from potential.calculator import Potential
from potential.data.frame import Frame
from potential.properties.member import members_of
from potential.properties.optimum import relaxed

PER_CM = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
"""1/cm of sqrt(eV/Angstrom^2/amu)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes:
    """Normal modes at one minimum, in ascending order; `vectors` are mass-weighted and of length 1."""

    wavenumbers: Float64[np.ndarray, "modes"]
    vectors: Float64[np.ndarray, "modes coordinates"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frequencies:
    """Of `frequencies`.

    Attributes:
        atoms: the committee's minimum.
        modes: of the committee's mean, there.
        of_members: 1/cm, each member's at its own minimum, in the order of `modes`; no rows for one member.
    """

    atoms: Atoms
    modes: Modes
    of_members: Float64[np.ndarray, "members modes"]

    @property
    def disagreement(self) -> Float64[np.ndarray, "modes"] | None:
        """Sample standard deviation over the members, 1/cm; None for a single member."""
        return self.of_members.std(axis=0, ddof=1) if len(self.of_members) > 1 else None

    @property
    def zero_point_energy(self) -> float:
        """Sum of h nu / 2 over the real modes, eV."""
        return _zero_point(self.modes.wavenumbers)

    @property
    def zero_point_disagreement(self) -> float | None:
        """Sample standard deviation over the members, eV."""
        found = [_zero_point(member) for member in self.of_members]
        return float(np.std(found, ddof=1)) if len(found) > 1 else None


def frequencies(
    potential: Potential,
    frame: Frame,
    *,
    max_force: float = 0.002,
    max_steps: int = 1000,
    displacement_A: float = 0.01,
) -> Frequencies:
    """Relax, then vibrate: the committee's mean, and each member by itself.

    Args:
        max_force: eV/Angstrom, to which structures are relaxed.
        displacement_A: of the finite differences.

    Raises:
        NotRelaxedError: if `max_steps` are not enough.
        ValueError: where no atom may move.
    """
    if len(frame.fixed) == len(frame):
        raise ValueError(f"all {len(frame)} atoms of {frame.formula} are fixed: nothing vibrates")
    atoms = relaxed(frame.to_atoms(), potential, max_force=max_force, max_steps=max_steps)
    mean = normal_modes(atoms, displacement_A)
    rows = []
    for member in members_of(potential):
        own = normal_modes(relaxed(atoms, member, max_force=max_force, max_steps=max_steps), displacement_A)
        _, order = linear_sum_assignment(-((mean.vectors @ own.vectors.T) ** 2))
        rows.append(own.wavenumbers[order])
    of_members = np.array(rows).reshape(len(rows), len(mean.wavenumbers))
    return Frequencies(atoms=atoms, modes=mean, of_members=of_members)


def normal_modes(atoms: Atoms, displacement_A: float) -> Modes:
    """Of the atoms that are free to move, by their calculator."""
    held = {int(i) for constraint in atoms.constraints for i in constraint.index}
    free = [i for i in range(len(atoms)) if i not in held]
    with TemporaryDirectory() as scratch:
        vibrations = Vibrations(atoms, indices=free, delta=displacement_A, name=str(Path(scratch) / "modes"))
        vibrations.run()
        hessian = vibrations.get_vibrations().get_hessian_2d()
    weight = np.repeat(atoms.get_masses()[free] ** -0.5, 3)
    weighted = hessian * np.outer(weight, weight)
    rest = _without(np.zeros((0, 3 * len(free))) if held else _motions(atoms))
    squared, vectors = np.linalg.eigh(rest.T @ (weighted + weighted.T) @ rest / 2)
    wavenumbers = np.sign(squared) * np.sqrt(np.abs(squared)) * PER_CM
    return Modes(wavenumbers=wavenumbers, vectors=(rest @ vectors).T)


def _motions(atoms: Atoms) -> Float64[np.ndarray, "motions coordinates"]:
    """Mass-weighted translations, and rotations where nothing is periodic; not orthogonal."""
    root = np.sqrt(atoms.get_masses())[:, None, None]
    axes = np.broadcast_to(np.eye(3), (len(atoms), 3, 3))  # atom, motion, direction
    moves = axes
    if not atoms.pbc.any():
        arms = atoms.positions - atoms.get_center_of_mass()
        moves = np.concatenate([axes, np.cross(axes, arms[:, None])], axis=1)
    motions: np.ndarray = (root * moves).transpose(1, 0, 2).reshape(moves.shape[1], -1)
    return motions


def _without(motions: Float64[np.ndarray, "motions coordinates"]) -> Float64[np.ndarray, "coordinates rest"]:
    """An orthonormal basis of what is orthogonal to `motions`, of which some vanish for linear molecules."""
    _, lengths, basis = np.linalg.svd(motions, full_matrices=True)
    rank = int((lengths > 1e-2 * lengths.max(initial=0.0)).sum())
    rest: np.ndarray = basis[rank:].T
    return rest


def _zero_point(wavenumbers: np.ndarray) -> float:
    return float(wavenumbers[wavenumbers > 0].sum() * units.invcm / 2)
