"""G members in one model are G models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from potential.backends.choose import choose_backend
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.nequip.batch import CommitteePrediction
from potential.nequip.model import NequIP
from potential.training.batches import Loader
from potential.training.gradient import losses_and_gradient
from potential.training.training_config import TrainingConfig
from tests.support.systems import batch, crystal, ethanol, model, predict, water


def member(committee: NequIP, g: int) -> NequIP:
    """Member g alone, with its own weights."""
    alone = NequIP(
        committee.config.model_copy(update={"committee_size": 1}),
        committee.numbers.tolist(),
        avg_num_neighbors=committee.avg_num_neighbors,
        energy_scales=committee.energy_scales.tolist(),
        energy_shifts=committee.energy_shifts.tolist(),
        dtype=committee.dtype,
    )
    with torch.no_grad():
        for own, shared in zip(alone.parameters(), committee.parameters(), strict=True):
            own.copy_(shared[g : g + 1])
    return alone


@pytest.mark.parametrize("l_max", [0, 2])
def test_a_committee_equals_its_members_one_by_one(l_max):
    committee = model([1, 6, 8, 14], members=4, l_max=l_max)
    structures = batch(ethanol(), crystal(), water())
    together = predict(committee, structures, stress=True)
    for g in range(4):
        alone = predict(member(committee, g), structures, stress=True)
        torch.testing.assert_close(together.energy[g], alone.energy[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(together.forces[g], alone.forces[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(together.stress[g], alone.stress[0], rtol=0, atol=1e-10)
    assert together.forces.std(0).max() > 1e-3, "members must differ"


@pytest.mark.parametrize("radial", ["spline", "mlp"])
def test_the_loss_gradient_of_each_member_is_its_own(radial):
    committee = model([1, 8], members=3, radial=radial)
    data = Dataset.of(
        LabelledFrame(
            frame=f, label=Label(frame_id=f.id, level_key="x", energy=0.0, forces=np.zeros((len(f), 3)))
        )
        for f in (water(0), water(1))
    )

    def gradients(network: NequIP, columns: slice) -> list[torch.Tensor]:
        batch, weights = Loader(data, network).batch([0, 1]), torch.ones(network.members, 2)
        network.zero_grad()
        losses_and_gradient(choose_backend(network), batch, weights, TrainingConfig())
        return [p.grad[columns] for p in network.parameters()]

    for g in range(3):
        ours = gradients(committee, slice(g, g + 1))
        for a, b in zip(ours, gradients(member(committee, g), slice(None)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_a_members_start_does_not_depend_on_how_many_there_are():
    few, many = model([1, 8], members=2, seed=7), model([1, 8], members=5, seed=7)
    for a, b in zip(few.parameters(), many.parameters(), strict=True):
        assert torch.equal(a, b[:2])


def test_disagreement_is_the_sample_deviation_of_the_force_vectors():
    forces = torch.randn(4, 5, 3, dtype=torch.float64)
    prediction = CommitteePrediction(energy=torch.randn(4, 1, dtype=torch.float64), forces=forces)
    deviations = (forces - forces.mean(0)).square().sum(-1).sum(0) / 3
    torch.testing.assert_close(prediction.force_disagreement, deviations.sqrt())
    lone = CommitteePrediction(energy=prediction.energy[:1], forces=forces[:1])
    assert lone.force_disagreement.abs().max() == 0
