"""What the training set says before training: energy shifts, energy scale, number of neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.nequip.batch import Structures
from potential.nequip.neighbors import neighbor_list


def energy_shifts(
    dataset: Dataset,
    numbers: Sequence[int],
    isolated_atom_energies: Mapping[int, float] | None = None,
) -> list[float]:
    """Energy per atom of each species, eV.

    Isolated-atom energies where they are given, else the least-squares solution of
    E = sum_s n_s shift_s (of minimal norm where the compositions do not determine it, as for a
    single molecule).

    Raises:
        ValueError: if an isolated-atom energy is missing.
    """
    if isolated_atom_energies is not None:
        missing = [z for z in numbers if z not in isolated_atom_energies]
        if missing:
            raise ValueError(
                f"no isolated-atom energy for Z = {missing}; give one for each of {list(numbers)}"
            )
        return [float(isolated_atom_energies[z]) for z in numbers]
    counts = np.array([[int((f.numbers == z).sum()) for z in numbers] for f in dataset.frames])
    energies = np.array([label.energy for label in dataset.labels])
    solution, *_ = np.linalg.lstsq(counts.astype(float), energies, rcond=1e-8)
    return [float(shift) for shift in solution]


def energy_scales(
    dataset: Dataset, numbers: Sequence[int], kind: Literal["forces_rms", "per_type_forces_rms"]
) -> list[float]:
    """Scale of the atomic energies of each species, eV: the RMS of force components x 1 Angstrom.

    Of all atoms, or of the atoms of each species apart. Where there are no forces to go by (an
    element that is not in the data, forces that vanish) it is that of all atoms, or 1.
    """
    forces = np.concatenate([label.forces for label in dataset.labels])
    owners = np.concatenate([frame.numbers for frame in dataset.frames])
    overall = _rms(forces) or 1.0
    if kind == "forces_rms":
        return [overall] * len(numbers)
    return [_rms(forces[owners == z]) or overall for z in numbers]


def _rms(forces: np.ndarray) -> float:
    return float(np.sqrt(np.mean(forces**2))) if forces.size else 0.0


def average_number_of_neighbors(frames: Sequence[Frame], r_max: float) -> float:
    """Mean number of neighbours of an atom within `r_max`; at least 1.

    Raises:
        ValueError: if no atom of any frame has one, though frames have more than one atom.
    """
    edges = neighbor_list(Structures.of(frames), r_max)
    if not len(edges.sender) and any(len(frame) > 1 or any(frame.pbc) for frame in frames):
        raise ValueError(
            f"r_max is {r_max} Å, and no two atoms of these frames are nearer: every atom would be alone and "
            "no force could be learned; write e.g. r_max: 5.0"
        )
    return max(len(edges.sender) / sum(len(frame) for frame in frames), 1.0)
