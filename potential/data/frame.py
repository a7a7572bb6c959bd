"""One atomic structure, as it travels through the whole campaign. Free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from jaxtyping import Float64, Int64

from potential.data.readonly import ReadOnlyArrays

GRID_ANGSTROM = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame(ReadOnlyArrays):
    """An atomic structure with charge and spin, identified by its content.

    Positions and cell are kept on a grid of 1e-8 Angstrom, so that a frame written to extxyz or
    ase.db and read again is the same frame, with the same `id`.

    `fixed` and `info` are not part of the `id`: neither changes the energy or the forces, so a label is
    as good with them as without.

    Attributes:
        numbers: atomic numbers.
        positions: Angstrom.
        cell: rows are the lattice vectors, Angstrom; zeros for a molecule.
        pbc: periodic along each lattice vector.
        charge: total charge in elementary charges.
        spin: number of unpaired electrons, 2S (PySCF's convention).
        origin: where it came from (round, replica, step, ...); not part of the `id`.
        fixed: indices of atoms that may not move, ascending.
        info: what the user's file says of this structure besides (JSON values).
    """

    numbers: Int64[np.ndarray, "atoms"]
    positions: Float64[np.ndarray, "atoms 3"]
    cell: Float64[np.ndarray, "3 3"]
    pbc: tuple[bool, bool, bool]
    charge: int = 0
    spin: int = 0
    origin: dict[str, Any] = field(default_factory=dict)
    fixed: tuple[int, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        numbers: Any,
        positions: Any,
        cell: Any = None,
        pbc: Any = False,
        *,
        charge: int = 0,
        spin: int = 0,
        origin: dict[str, Any] | None = None,
        fixed: Iterable[int] = (),
        info: dict[str, Any] | None = None,
    ) -> Frame:
        """Build a frame from anything array-like; puts the numbers on the grid and freezes them.

        Raises:
            ValueError: for a fixed atom that is not there.
        """
        given = np.ravel(pbc).tolist()
        a, b, c = 3 * given if len(given) == 1 else given
        numbers = np.array(numbers, dtype=np.int64).reshape(-1)
        held = tuple(sorted({int(i) for i in fixed}))
        if held and not 0 <= held[0] <= held[-1] < len(numbers):
            raise ValueError(f"fixed atoms {list(held)} of {len(numbers)}; expected 0 to {len(numbers) - 1}")
        return cls(
            numbers=numbers,
            positions=_on_grid(np.array(positions, dtype=np.float64).reshape(-1, 3)),
            cell=_on_grid(np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64)),
            pbc=(bool(a), bool(b), bool(c)),
            charge=int(charge),
            spin=int(spin),
            origin=dict(origin or {}),
            fixed=held,
            info=dict(info or {}),
        )

    @classmethod
    def from_atoms(
        cls,
        atoms: Atoms,
        *,
        charge: int | None = None,
        spin: int | None = None,
        origin: dict[str, Any] | None = None,
        info: dict[str, Any] | None = None,
    ) -> Frame:
        """From `ase.Atoms`, with its FixAtoms; charge and spin default to its `info`, then 0.

        `potential.data.molecules.frame_of` reads more and checks more.
        """
        return cls.of(
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            charge=int(atoms.info.get("charge", 0)) if charge is None else charge,
            spin=int(atoms.info.get("spin", 0)) if spin is None else spin,
            origin=origin,
            fixed=_fixed_in(atoms),
            info=info,
        )

    def to_atoms(self) -> Atoms:
        """As `ase.Atoms`: charge, spin, the frame id and the user's info in `info`, FixAtoms if any."""
        atoms = Atoms(
            numbers=self.numbers,
            positions=self.positions,
            cell=self.cell,
            pbc=self.pbc,
            info={**self.info, "charge": self.charge, "spin": self.spin, "frame_id": self.id},
        )
        if self.fixed:
            from ase.constraints import FixAtoms  # with half of scipy, for which a status shall not wait

            atoms.set_constraint(FixAtoms(list(self.fixed)))
        return atoms

    def moved(self, positions: Any, *, cell: Any = None, origin: dict[str, Any] | None = None) -> Frame:
        """The same atoms at other positions (Angstrom); what the file said of the old ones stays there."""
        return Frame.of(
            self.numbers,
            positions,
            self.cell if cell is None else cell,
            self.pbc,
            charge=self.charge,
            spin=self.spin,
            origin=origin,
            fixed=self.fixed,
        )

    @cached_property
    def id(self) -> str:
        """Hash of the content: species, positions, cell, periodicity, charge, spin. 16 hex digits."""
        (found,) = ids_of([self.numbers], [self.positions], [self.cell], [(self.pbc, self.charge, self.spin)])
        return found

    @property
    def symbols(self) -> list[str]:
        return [chemical_symbols[z] for z in self.numbers]

    @property
    def formula(self) -> str:
        """Hill formula, e.g. `C2H6O`."""
        return str(Atoms(numbers=self.numbers).get_chemical_formula())

    def __len__(self) -> int:
        return len(self.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Frame({self.formula}, id={self.id}, charge={self.charge}, spin={self.spin})"


State: TypeAlias = tuple[tuple[bool, bool, bool], int, int]
"""Periodicity, charge, spin."""


def ids_of(
    numbers: Sequence[np.ndarray],
    positions: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    states: Sequence[State],
) -> list[str]:
    """The `id` of each of many frames, from arrays that need not be on the grid yet.

    Args:
        numbers: of each frame, atomic numbers (atoms).
        positions: of each frame (atoms, 3), Angstrom.
        cells: of each frame (3, 3), Angstrom.
        states: of each frame, its periodicity, charge and spin.
    """
    species = np.concatenate(numbers).astype(np.int64).tobytes()
    with np.errstate(invalid="ignore"):  # what is no number has an id, too
        places, edges = (
            np.rint(_on_grid(np.concatenate(lengths)) / GRID_ANGSTROM).astype(np.int64).tobytes()
            for lengths in (positions, cells)
        )
    found, atom = [], 0
    for k, (of_frame, state) in enumerate(zip(numbers, states, strict=True)):
        end = atom + len(of_frame)
        digest = hashlib.sha256(species[8 * atom : 8 * end])
        digest.update(places[24 * atom : 24 * end])
        digest.update(edges[72 * k : 72 * (k + 1)])
        digest.update(repr(state).encode())
        found.append(digest.hexdigest()[:16])
        atom = end
    return found


def _fixed_in(atoms: Atoms) -> list[int]:
    if not atoms.constraints:
        return []
    from ase.constraints import FixAtoms

    return [i for c in atoms.constraints if isinstance(c, FixAtoms) for i in c.index.tolist()]


def _on_grid(lengths: np.ndarray) -> np.ndarray:
    # rint(x * 1e8) / 1e8 is the double nearest to the 8-digit decimal; + 0.0 turns -0.0 into 0.0.
    return np.rint(lengths * 1e8) / 1e8 + 0.0
