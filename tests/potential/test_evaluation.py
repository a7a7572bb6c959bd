"""Errors against their formulas, and the statistics of the training set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.evaluation import evaluate
from potential.nequip.batch import CommitteePrediction, Structures
from potential.training.statistics import average_number_of_neighbors, energy_scales, energy_shifts
from tests.support.systems import ethanol, water


def dataset(energies=(-1.0, -5.0, -1.5)) -> Dataset:
    rng = np.random.default_rng(0)
    frames = [water(0), ethanol(1), water(2)]
    return Dataset.of(
        LabelledFrame(
            frame=f,
            label=Label(frame_id=f.id, level_key="x", energy=e, forces=rng.normal(size=(len(f), 3))),
        )
        for f, e in zip(frames, energies, strict=True)
    )


def test_errors_are_their_formulas_whatever_the_batch_size():
    data = dataset()
    references = {item.frame.id: item.label for item in data}
    by_batch = {}
    generator = torch.Generator().manual_seed(0)
    noise = {f.id: torch.randn(2, len(f), 3, generator=generator, dtype=torch.float64) for f in data.frames}

    def noisy(structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        ids, forces = [], []
        for s in range(structures.n_structures):
            x = structures.positions[structures.structure == s]
            frame = next(
                f for f in data.frames if f.positions.shape == x.shape and np.allclose(f.positions, x)
            )
            ids.append(frame.id)
            forces.append(torch.tensor(references[frame.id].forces) + 0.1 * noise[frame.id])
        energy = torch.tensor([[references[i].energy + 0.3 for i in ids]] * 2, dtype=torch.float64)
        return CommitteePrediction(energy=energy, forces=torch.cat(forces, 1))

    for size in (1, 2, 8):
        by_batch[size] = evaluate(noisy, data, batch_size=size)
    found = by_batch[8]
    errors = np.concatenate([0.1 * noise[f.id].mean(0).numpy() for f in data.frames])
    assert found.force_mae == pytest.approx(np.abs(errors).mean())
    assert found.force_rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert found.energy_mae == pytest.approx(np.mean([0.3 / 3, 0.3 / 9, 0.3 / 3]))
    spread = np.concatenate([0.1 * noise[f.id].std(0).norm(dim=-1).numpy() for f in data.frames])
    expected = spearmanr(spread, np.linalg.norm(errors, axis=1)).statistic
    assert found.spearman == pytest.approx(expected)
    assert list(found.atoms["symbol"][:3]) == ["O", "H", "H"]
    assert found.frames["n_atoms"].tolist() == [3, 9, 3]
    for other in (by_batch[1], by_batch[2]):
        assert other.force_mae == pytest.approx(found.force_mae)
        np.testing.assert_allclose(other.frames["force_mae"], found.frames["force_mae"])


def test_shifts_reproduce_a_sum_of_atomic_energies():
    shifts = {1: -13.6, 6: -1030.0, 8: -2040.0}
    frames = [water(0), ethanol(1)]
    exact = [sum(shifts[int(z)] for z in f.numbers) for f in frames]
    data = dataset((exact[0], exact[1], exact[0]))
    found = energy_shifts(data, [1, 6, 8])
    counts = np.array([[int((f.numbers == z).sum()) for z in (1, 6, 8)] for f in frames])
    np.testing.assert_allclose(counts @ found, exact, rtol=1e-9)
    assert energy_shifts(data, [1, 6, 8], shifts) == [-13.6, -1030.0, -2040.0]
    with pytest.raises(ValueError, match=r"Z = \[6\]"):
        energy_shifts(data, [1, 6, 8], {1: 0.0, 8: 0.0})


def test_energy_scales_and_neighbours():
    data = dataset()
    forces = np.concatenate([label.forces for label in data.labels])
    owners = np.concatenate([frame.numbers for frame in data.frames])
    overall = np.sqrt((forces**2).mean())
    assert energy_scales(data, [1, 6, 8], "forces_rms") == pytest.approx([overall] * 3)
    each = [np.sqrt((forces[owners == z] ** 2).mean()) for z in (1, 6, 8)]
    assert energy_scales(data, [1, 6, 8, 14], "per_type_forces_rms") == pytest.approx([*each, overall])
    assert average_number_of_neighbors([water()], 5.0) == 2.0
