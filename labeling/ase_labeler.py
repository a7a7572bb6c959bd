"""Energy, forces and stress from an ASE calculator of the table."""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, SCFError

from labeling.ase_level import AseLevel
from labeling.failure import NotConvergedError
from labeling.provenance import where_and_with
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.stress import full_stress


def calculator_for(frame: Frame, level: AseLevel) -> Calculator:
    """The level's calculator, set up for the charge and spin of `frame`.

    Raises:
        ImportError: if its package is not installed.
    """
    module, _, name = level.calculator.rpartition(".")
    made: Calculator = getattr(import_module(module), name)(
        **level.complete, **level.entry.fixed, **level.entry.of_frame(frame)
    )
    return made


def compute(frame: Frame, level: AseLevel) -> Label:
    """Energy, forces and, for a cell periodic in three directions, stress.

    Raises:
        NotConvergedError: if the calculator says so.
        ImportError: if its package is not installed.
    """
    started = time.perf_counter()
    atoms = frame.to_atoms()
    atoms.calc = calculator_for(frame, level)
    try:
        energy = float(atoms.get_potential_energy())
        forces = np.array(atoms.get_forces(apply_constraint=False), dtype=np.float64)
        stress = atoms.get_stress(apply_constraint=False) if all(frame.pbc) and level.can.stress else None
    except CalculationFailed as error:
        if isinstance(error, SCFError) or "converge" in str(error):  # tblite has no class for it
            raise NotConvergedError(f"{frame.formula} at {level.name}: {str(error).strip()}") from error
        raise
    return Label(
        frame_id=frame.id,
        level_key=level.key,
        energy=energy,
        forces=forces,
        stress=None if stress is None else full_stress(stress),
        provenance={
            "level": level.model_dump(mode="json"),
            "seconds": time.perf_counter() - started,
            **where_and_with(*dict.fromkeys(("ase", level.entry.distribution))),
        },
    )
