"""Replay on padded graphs: the same numbers whatever the number of edges, recorded as seldom as can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from potential.backends.autograd import energy_and_slope
from potential.backends.choose import choose_backend
from potential.backends.compiled import Compiled
from potential.backends.derivatives import energy_and_forces
from potential.backends.proof import few_atoms
from potential.backends.reference import Reference
from potential.backends.replayed import Replayed, cuda_graph, with_room
from potential.data.frame import Frame
from potential.nequip.geometry import Geometry
from potential.nequip.graph import Graph, Topology
from potential.nequip.neighbors import neighbor_list
from potential.nequip.precision import float32_products
from tests.support.systems import batch, crystal, ethanol, model, water

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Recorder:
    """Counts recordings; without a card a replay is another run on the fixed tensors."""

    count = 0

    def __call__(self, function, device):
        self.count += 1
        return cuda_graph(function, device) if device.type == "cuda" else function


@pytest.mark.parametrize(
    ("make", "radial"), [(Reference, "spline"), (Reference, "mlp"), (Compiled, "spline")]
)
def test_edges_that_do_nothing_change_no_number(make, radial):
    network = model([1, 6, 8], radial=radial)
    graph, backend = few_atoms(network), make(network)
    edges = len(graph.topology.sender)
    expected, found = backend.energy_and_slope(graph), backend.energy_and_slope(with_room(graph, edges + 7))
    torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.slope[:, :edges], expected.slope, rtol=0, atol=1e-13)
    assert not found.slope[:, edges:].any()


def test_dynamics_is_recorded_once():
    """Atoms move, edges come and go, and so do those of another molecule of as many atoms."""
    network, recorder = model([1, 6, 8], r_max=3.0).to(DEVICE), Recorder()
    replayed, numbers = Replayed(Reference(network), recorder), set()
    for seed in range(6):
        structures = batch(ethanol(seed), ethanol(seed + 10)).to(DEVICE)
        numbers.add(len(neighbor_list(structures, 3.0).sender))
        expected, found = (energy_and_forces(b, structures) for b in (Reference(network), replayed))
        torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-10)
    assert len(numbers) > 2
    assert recorder.count == 1


def test_what_does_not_fit_is_recorded_anew():
    network, recorder = model([1, 6, 8, 14]).to(DEVICE), Recorder()
    replayed = Replayed(Reference(network), recorder)
    for structures, count in [(batch(water()), 1), (batch(ethanol()), 2), (batch(ethanol(1)), 2)]:
        energy_and_forces(replayed, structures.to(DEVICE))
        assert recorder.count == count
    hydrogen = Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    dense, sparse = crystal(), batch(water(), water(), hydrogen)
    assert len(dense) == len(sparse.numbers)
    for structures, count in [(sparse, 3), (batch(dense), 4), (sparse, 4)]:
        expected = energy_and_forces(Reference(network), structures.to(DEVICE)).forces
        found = energy_and_forces(replayed, structures.to(DEVICE)).forces
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        assert recorder.count == count, "a dense crystal has more edges than two molecules"
    with float32_products("tf32"):
        energy_and_forces(replayed, sparse.to(DEVICE))
    assert recorder.count == 5, "the precision of products was recorded too"


def test_results_outlive_the_next_call():
    network = model([1, 8]).to(DEVICE)
    replayed = Replayed(Reference(network), Recorder())
    first = energy_and_forces(replayed, batch(water()).to(DEVICE))
    kept = first.forces.clone()
    energy_and_forces(replayed, batch(water(1)).to(DEVICE))
    assert torch.equal(first.forces, kept)


def test_no_edges():
    network = model([1]).to(DEVICE)
    empty = torch.empty(0, dtype=torch.int64, device=DEVICE)
    graph = Graph(
        species=torch.zeros(1, dtype=torch.int64, device=DEVICE),
        topology=Topology.of(empty, empty, 1),
        geometry=Geometry.of(torch.empty(0, 3, dtype=torch.float64, device=DEVICE), network.config),
    )
    energy, slope = Replayed(Reference(network), Recorder()).energy_and_slope(graph)
    torch.testing.assert_close(energy, Reference(network).energy_and_slope(graph).energy)
    assert slope.shape == (2, 0, 3)


class OnlyOnTheDevice(TorchDispatchMode):
    """What is recorded may neither read the device nor copy from the host's memory."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        assert all(x.device.type == "meta" for x in tensors), f"{func} uses a tensor of the host"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("radial", "correlation"), [("spline", 1), ("mlp", 1), ("spline", 3)])
def test_what_is_recorded_needs_nothing_from_the_host(radial, correlation):
    """On meta tensors, which have no numbers: what would read one fails."""
    network = model([1, 6, 8], radial=radial, num_layers=3, correlation=correlation)
    graph = few_atoms(network)
    expected = Reference(network).energy_and_slope(graph)
    topology = {k: v.to("meta") for k, v in vars(graph.topology).items()}
    geometry = {k: v if v is None else v.to("meta") for k, v in vars(graph.geometry).items()}
    away = Graph(
        species=graph.species.to("meta"), topology=Topology(**topology), geometry=Geometry(**geometry)
    )
    network.to("meta")
    with OnlyOnTheDevice():
        energy, slope = energy_and_slope(network, away)
    assert (energy.shape, slope.shape) == (expected.energy.shape, expected.slope.shape)
    with pytest.raises((AssertionError, RuntimeError)), OnlyOnTheDevice():
        torch.tensor([1.0]) + torch.empty(1, device="meta")


def test_graphs_of_cuda_are_for_cuda():
    with pytest.raises(ValueError, match=r"cuda_graphs .* on cpu"):
        choose_backend(model([1, 8]), cuda_graphs=True)
