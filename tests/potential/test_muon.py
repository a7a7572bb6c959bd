"""Muon: steps are orthogonal and as large as they should be, each member's its own, and they pay."""

import numpy as np
import pytest
import torch

from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.training.muon import MOMENTUM, STEP_SIZE, Muon, orthogonal
from potential.training.optimizers import optimizers_of
from potential.training.training_config import TrainingConfig

SMALL = ModelConfig(num_layers=2, l_max=1, num_features=8, committee_size=2)


@pytest.mark.parametrize("shape", [(3, 5, 5), (2, 4, 20), (2, 20, 4)])
def test_what_is_made_orthogonal_has_the_singular_vectors_and_no_large_or_small_values(shape) -> None:
    matrices = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonal(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    inner = u.mT @ found @ v.mT
    assert (inner - torch.diag_embed(torch.diagonal(inner, dim1=1, dim2=2))).abs().max() < 1e-9


def test_no_gradient_is_no_step_and_no_division_by_zero() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3, 4))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.ones(2, 3, 4))


def test_a_step_has_the_size_that_the_learning_rate_says() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in [(4, 2, 32, 32), (4, 64, 96), (4, 224, 32)]:
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = 1e-5 * torch.randn(shape, generator=generator)
        Muon([weight], lr=0.02).step()
        root_mean_square = float(weight.detach().square().mean().sqrt())
        assert root_mean_square == pytest.approx(0.02 * STEP_SIZE, rel=0.2)


def test_momentum_carries_a_direction_on() -> None:
    weight = torch.nn.Parameter(torch.zeros(1, 2, 2))
    optimizer = Muon([weight], lr=1.0)
    weight.grad = torch.eye(2)[None]
    optimizer.step()
    assert torch.allclose(optimizer.state[weight]["momentum"], (1 - MOMENTUM) * torch.eye(2))
    before = weight.detach().clone()
    weight.grad = torch.zeros(1, 2, 2)
    optimizer.step()
    assert torch.all(torch.diagonal((weight.detach() - before)[0]) < -0.9 * STEP_SIZE)


def test_each_weight_is_moved_by_one_optimizer() -> None:
    network = NequIP(SMALL, [18])
    for optimizer in ("muon", "adam"):
        found = optimizers_of(network, TrainingConfig(optimizer=optimizer))
        moved = [id(p) for each in found.values() for group in each.param_groups for p in group["params"]]
        assert sorted(moved) == sorted(id(p) for p in network.parameters())
    assert list(found) == ["adam"]


def test_a_members_steps_do_not_depend_on_how_many_others_there_are() -> None:
    four, one = (NequIP(SMALL.model_copy(update={"committee_size": n}), [18]) for n in (4, 1))
    for network in (four, one):
        for name, weight in network.named_parameters():
            generator = torch.Generator().manual_seed(len(name))
            whole = torch.randn(4, *weight.shape[1:], generator=generator)
            weight.grad = whole[: len(weight)].clone()
        for each in optimizers_of(network, TrainingConfig()).values():
            each.step()
    for ours, theirs in zip(one.parameters(), four.parameters(), strict=True):
        assert torch.allclose(ours, theirs[:1], atol=1e-6)
