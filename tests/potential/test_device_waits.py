"""In a step the device never waits for the host: nothing is read from it that the next operation needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from potential.backends.autograd import energy_and_slope
from potential.backends.derivatives import energy_and_forces
from potential.backends.reference import Reference
from potential.nequip.counts import count
from potential.nequip.neighbors import neighbor_list
from potential.training.batches import Loader
from potential.training.gradient import clip_each_member, losses_and_gradient
from potential.training.optimizers import optimizers_of
from potential.training.training_config import TrainingConfig
from tests.support.systems import batch, crystal, ethanol, labelled, model, water

# Operations whose result, or its size, the host must know before it goes on.
aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.is_nonzero, aten.equal}


class NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indices = args[1] if func.overloadpacket in {aten.index, aten.index_put_} else []
        masks = any(i is not None and i.dtype == torch.bool for i in indices)
        assert func.overloadpacket not in WAITS, f"{func} makes a CUDA device wait for the host"
        assert not masks, f"{func} by a mask makes a CUDA device wait for the host"
        return func(*args, **(kwargs or {}))


def test_the_check_finds_what_waits():
    x = torch.randn(3)
    for wait in (lambda: float(x.sum()), lambda: x[x > 0], lambda: bool(x.any()), lambda: torch.nonzero(x)):
        with pytest.raises(AssertionError, match="wait for the host"), NoWaiting():
            wait()


@pytest.mark.parametrize("radial", ["spline", "mlp"])
def test_a_training_step(radial):
    network = model([6, 14], radial=radial)
    loader = Loader(labelled(crystal(), crystal(1), stress=True), network)
    weights, config = torch.ones(2, 2), TrainingConfig(stress_weight=1.0)
    optimizers = optimizers_of(network, config)
    with NoWaiting():
        training_batch = loader.batch([1, 0])
        losses_and_gradient(Reference(network), training_batch, weights, config)
        clip_each_member(network, 1.0)
        for optimizer in optimizers.values():
            optimizer.step()


@pytest.mark.parametrize("radial", ["spline", "mlp"])
def test_a_force_call(radial):
    """But for the neighbour list, whose length is a number of the host."""
    network, structures = model([1, 6, 8], radial=radial, l_max=3), batch(ethanol(), water())
    edges = neighbor_list(structures, network.config.r_max)
    species = network.species_of(structures.numbers)
    energy_and_forces(Reference(network), structures, edges)  # the first call makes tables
    with NoWaiting():
        energy_and_forces(Reference(network), structures, edges, species=species)


def test_counts_of_another_device_are_those_of_the_cpu():
    index = torch.tensor([0, 3, 3, 1])
    assert count(index, 5).tolist() == [1, 1, 0, 2, 0]
    assert count(index.to("meta"), 5).shape == (5,), "its size depends on no number of the device"
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.bincount(index.to("meta"), minlength=5)


def test_slopes_that_can_be_differentiated_need_no_wait_either():
    network, structures = model([1, 8]), batch(water())
    edges = neighbor_list(structures, network.config.r_max)
    graph = network.graph(network.species_of(structures.numbers), edges, edges.vectors(structures.positions))
    with NoWaiting():
        energy_and_slope(network, graph, create_graph=True)
