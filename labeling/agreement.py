"""How far two sets of labels of the same frames are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potential.data.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Differences of labels from reference labels, over the frames that both have.

    Attributes:
        n_frames: frames compared.
        n_alone: frames that only one of both has.
        force_mae, force_rmse, largest_force_difference: over the components, eV/Angstrom.
        energy_offset: mean difference per frame, eV; programs and basis sets shift all energies alike.
        energy_spread: standard deviation of the differences, eV.
    """

    n_frames: int
    n_alone: int
    force_mae: float
    force_rmse: float
    largest_force_difference: float
    energy_offset: float
    energy_spread: float


def agreement(labels: Dataset, reference: Dataset) -> Agreement:
    """Compare labels of the same frames, matched by `Frame.id`.

    Raises:
        ValueError: if no frame is in both.
    """
    others = {label.frame_id: label for label in reference.labels}
    pairs = [(label, others[label.frame_id]) for label in labels.labels if label.frame_id in others]
    if not pairs:
        raise ValueError(
            "no structure is in both; elements, positions (to 1e-8 Å), cell, charge and spin must agree"
        )
    force = np.concatenate([mine.forces - other.forces for mine, other in pairs])
    energy = np.array([mine.energy - other.energy for mine, other in pairs])
    return Agreement(
        n_frames=len(pairs),
        n_alone=len(labels) + len(reference) - 2 * len(pairs),
        force_mae=float(np.abs(force).mean()),
        force_rmse=float(np.sqrt((force**2).mean())),
        largest_force_difference=float(np.abs(force).max()),
        energy_offset=float(energy.mean()),
        energy_spread=float(energy.std()),
    )
