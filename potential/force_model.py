"""What dynamics, evaluation and calculators ask of a potential."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from potential.nequip.batch import CommitteePrediction, Structures


@runtime_checkable
class ForceModel(Protocol):
    """Energies and forces of a batch; with `stress=True` the stress too.

    Energies in eV, forces in eV/Angstrom, stress in eV/Angstrom^3 with ASE's sign (positive = the cell
    wants to shrink): 1/V dE/d(strain), without the motion of the atoms. Only dynamics whose cell moves
    ask for the stress. `potential.evaluator.Evaluator` is one.
    """

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction: ...
