"""Isolated atoms in their ground states, whose energies serve as zero of a potential's energy.

An atom is a frame like any other: it is labelled at the same level of theory (UKS where it has spin),
and the store keeps its label. Its spin is that of the ground-state term (NIST Atomic Spectra Database,
as ASE has it); d and f shells may still converge to a state some tenths of an eV too high, which
`stability: true` finds out.
"""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_numbers, chemical_symbols, ground_state_magnetic_moments

from labeling.level import LevelOfTheory
from labeling.store import LabelStore
from potential.data.frame import Frame

CERIUM = atomic_numbers["Ce"]  # 4f5d6s2, a singlet: its moment is not twice its spin


def isolated_atom(number: int) -> Frame:
    """One neutral atom with as many unpaired electrons as its ground state has.

    Raises:
        ValueError: for an element whose ground state is not known (beyond radon).
    """
    if not 1 <= number <= atomic_numbers["Rn"]:
        raise ValueError(
            f"no ground-state spin for Z = {number}; write `energy_shifts: least_squares`, which needs none"
        )
    spin = 0 if number == CERIUM else round(float(ground_state_magnetic_moments[number]))
    return Frame.of([number], [[0.0, 0.0, 0.0]], spin=spin, origin={"atom": chemical_symbols[number]})


def isolated_atom_energies(
    numbers: Iterable[int], store: LabelStore, level: LevelOfTheory
) -> dict[int, float]:
    """Energies (eV) that the store has, by atomic number.

    Raises:
        KeyError: for an element whose atom has no label at this level.
    """
    energies = {}
    for number in sorted(set(numbers)):
        label = store.get(isolated_atom(number).id, level.key)
        if label is None:
            raise KeyError(f"the {chemical_symbols[number]} atom has no label at {level.name}")
        energies[number] = label.energy
    return energies
