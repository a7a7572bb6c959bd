"""The Lennard-Jones labeler: the same signature as quantum chemistry, a thousand times cheaper."""

from __future__ import annotations

import time

import numpy as np

from labeling.level import LennardJonesLevel
from labeling.provenance import where_and_with
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.stress import full_stress


def compute(frame: Frame, level: LennardJonesLevel) -> Label:
    """Energy, forces and, for a cell periodic in three directions, stress."""
    from ase.calculators.lj import LennardJones  # loads much of scipy

    started = time.perf_counter()
    atoms = frame.to_atoms()
    atoms.calc = LennardJones(
        epsilon=level.epsilon_eV, sigma=level.sigma_angstrom, rc=level.cutoff_angstrom, smooth=True
    )
    energy, forces = (
        float(atoms.get_potential_energy()),
        np.array(atoms.get_forces(apply_constraint=False), dtype=np.float64),
    )
    stress = full_stress(atoms.get_stress(apply_constraint=False)) if all(frame.pbc) else None
    return Label(
        frame_id=frame.id,
        level_key=level.key,
        energy=energy,
        forces=forces,
        stress=stress,
        provenance={
            "level": level.model_dump(),
            "seconds": time.perf_counter() - started,
            **where_and_with("ase"),
        },
    )
