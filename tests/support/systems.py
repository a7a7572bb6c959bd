"""Small structures that the tests of the potential share."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from potential.backends.derivatives import energy_and_forces
from potential.backends.reference import Reference
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.batch import CommitteePrediction, Structures
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig


def rattled(atoms: Atoms, seed: int, amplitude: float = 0.1) -> Frame:
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, amplitude, atoms.positions.shape)
    return Frame.from_atoms(atoms)


def ethanol(seed: int = 0) -> Frame:
    return rattled(molecule("CH3CH2OH"), seed)


def water(seed: int = 0) -> Frame:
    return rattled(molecule("H2O"), seed)


def iron() -> Frame:
    """Six atoms as a singlet, for which GFN2-xTB's SCF does not converge in 250 cycles."""
    positions = [
        [2.78, 1.18, 0.18],
        [0.07, 3.55, 3.98],
        [2.65, 3.18, 2.37],
        [4.08, 3.56, 0.01],
        [3.74, 0.15, 3.18],
        [2.68, 1.67, 4.35],
    ]
    return Frame.of([26] * 6, positions)


def crystal(seed: int = 0) -> Frame:
    """SiC, a cell smaller than the cutoff, sheared."""
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.arange(9).reshape(3, 3) / 9), scale_atoms=True)
    return rattled(atoms, seed, 0.05)


def model(numbers: list[int], *, members: int = 2, seed: int = 0, **settings) -> NequIP:
    config = ModelConfig(
        **{
            "l_max": 2,
            "num_features": 4,
            "num_layers": 2,
            "radial_mlp_width": 8,
            "committee_size": members,
            **settings,
        }
    )
    return NequIP(
        config,
        numbers,
        seed=seed,
        avg_num_neighbors=8.0,
        energy_scales=[1.7 + 0.1 * i for i in range(len(numbers))],
        energy_shifts=[-3.0 * (i + 1) for i in range(len(numbers))],
        dtype=torch.float64,
    )


def batch(*frames: Frame) -> Structures:
    return Structures.of(frames)


def predict(network: NequIP, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
    """By the model as it is written."""
    return energy_and_forces(Reference(network), structures, stress=stress)


def labelled(*frames: Frame, stress: bool = False) -> Dataset:
    """With random labels."""
    rng = np.random.default_rng(0)
    return Dataset.of(
        LabelledFrame(
            frame=frame,
            label=Label(
                frame_id=frame.id,
                level_key="x",
                energy=float(rng.normal()),
                forces=rng.normal(size=(len(frame), 3)),
                stress=rng.normal(0, 0.01, (3, 3)) if stress else None,
            ),
        )
        for frame in frames
    )


def labelled_by(network: NequIP, *frames: Frame) -> Dataset:
    """With what the committee says, so that its errors are zero."""
    found = predict(network, batch(*frames))
    forces = np.split(found.mean_forces.numpy(), np.cumsum([len(frame) for frame in frames])[:-1])
    return Dataset.of(
        LabelledFrame(frame=frame, label=Label(frame_id=frame.id, level_key="x", energy=e, forces=f))
        for frame, e, f in zip(frames, found.mean_energy.tolist(), forces, strict=True)
    )
