"""Symmetries, derivatives and smoothness of the model, in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from e3nn import o3

from potential.backends.autograd import energy_and_slope
from potential.backends.derivatives import forces_from
from potential.data.frame import Frame
from potential.nequip.batch import Structures
from potential.nequip.graph import EdgeTensors
from potential.nequip.model import NequIP
from potential.nequip.neighbors import neighbor_list
from tests.support.systems import batch, crystal, ethanol, model, predict, water

ARCHITECTURES = [
    {"l_max": l_max, "parity": parity, "num_layers": layers}
    for l_max, parity, layers in [
        (0, True, 2),
        (1, True, 3),
        (1, False, 1),
        (2, True, 2),
        (3, False, 2),
        (3, True, 2),
    ]
] + [
    {"l_max": l_max, "parity": parity, "num_layers": layers, "correlation": correlation}
    for l_max, parity, layers, correlation in [
        (0, True, 1, 3),
        (2, False, 2, 2),
        (2, True, 2, 3),
        (3, False, 2, 3),
    ]
]


def forces(network: NequIP, structures: Structures) -> torch.Tensor:
    """Forces that can be differentiated by the weights."""
    edges = neighbor_list(structures, network.config.r_max)
    species = network.species_of(structures.numbers)
    graph = network.graph(species, edges, edges.vectors(structures.positions))
    _, slope = energy_and_slope(network, graph, create_graph=True)
    return forces_from(slope, graph.topology)


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=str)
def test_energy_is_invariant_and_forces_are_equivariant(settings):
    network = model([1, 6, 8], **settings)
    structures = batch(ethanol(0), water(1))
    before = predict(network, structures)
    assert before.forces.abs().max() > 1e-3, "the test would be empty with vanishing forces"
    rotation = o3.rand_matrix(dtype=torch.float64)
    for q in (rotation, -rotation, -torch.eye(3, dtype=torch.float64)):
        after = predict(network, structures.at(structures.positions @ q.T + 2.5))
        torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=1e-10)
        torch.testing.assert_close(after.forces, before.forces @ q.T, rtol=0, atol=1e-10)


def test_stress_rotates_with_a_crystal():
    network = model([6, 14])
    structures = batch(crystal())
    q = o3.rand_matrix(dtype=torch.float64)
    before = predict(network, structures, stress=True)
    turned = replace(structures, positions=structures.positions @ q.T, cell=structures.cell @ q.T)
    after = predict(network, turned, stress=True)
    assert before.stress.abs().max() > 1e-4
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=1e-10)
    torch.testing.assert_close(after.stress, q @ before.stress @ q.T, rtol=0, atol=1e-10)


def test_permuting_the_atoms_permutes_the_forces():
    network, frame = model([1, 6, 8]), ethanol()
    order = np.random.default_rng(0).permutation(len(frame))
    permuted = Frame.of(frame.numbers[order], frame.positions[order])
    before = predict(network, batch(frame))
    after = predict(network, batch(permuted))
    torch.testing.assert_close(after.energy, before.energy, rtol=0, atol=1e-10)
    torch.testing.assert_close(after.forces, before.forces[:, order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("frame", [ethanol(), crystal()], ids=["molecule", "crystal"])
def test_forces_are_the_gradient_of_the_energy(frame):
    network = model(sorted(set(frame.numbers.tolist())))
    structures = batch(frame)
    forces = predict(network, structures).forces
    h = 1e-4
    for atom, axis in [(0, 0), (3, 1), (len(frame) - 1, 2)]:
        step = torch.zeros_like(structures.positions)
        step[atom, axis] = h
        plus, minus = (
            predict(network, structures.at(structures.positions + s * step)).energy[:, 0] for s in (1, -1)
        )
        torch.testing.assert_close(-(plus - minus) / (2 * h), forces[:, atom, axis], rtol=1e-6, atol=1e-7)


def test_stress_is_the_strain_derivative_per_volume():
    network, structures = model([6, 14]), batch(crystal())
    stress = predict(network, structures, stress=True).stress[:, 0]
    volume = torch.linalg.det(structures.cell[0])
    h = 1e-4
    for a, b in [(0, 0), (1, 1), (0, 2), (1, 2)]:
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        energies = []
        for sign in (1, -1):
            deform = torch.eye(3, dtype=torch.float64) + sign * strain
            strained = replace(
                structures, positions=structures.positions @ deform, cell=structures.cell @ deform
            )
            energies.append(predict(network, strained).energy[:, 0])
        numeric = (energies[0] - energies[1]) / (2 * h) / volume
        torch.testing.assert_close(numeric, stress[:, a, b], rtol=1e-5, atol=1e-8)


def test_energy_and_forces_are_continuous_at_the_cutoff():
    network = model([1, 8], r_max=4.0)
    inside, outside = (batch(Frame.of([1, 8], [[0, 0, 0], [d, 0, 0]])) for d in (4.0 - 1e-6, 4.0 + 1e-6))
    near, far = predict(network, inside), predict(network, outside)
    torch.testing.assert_close(near.energy, far.energy, rtol=0, atol=1e-12)
    torch.testing.assert_close(near.forces, far.forces, rtol=0, atol=1e-8)
    # The cutoff's own derivative vanishes as (1 - x)^2: the forces go to zero smoothly.
    distances = torch.linspace(3.9, 4.1, 21).tolist()
    forces = [
        predict(network, batch(Frame.of([1, 8], [[0, 0, 0], [d, 0, 0]]))).forces.abs().max().item()
        for d in distances
    ]
    assert forces[0] > 1e-7
    assert forces[-1] == 0.0


def test_a_batch_equals_its_structures_one_by_one():
    network = model([1, 6, 8, 14])
    frames = [ethanol(0), crystal(0), water(2), crystal(1)]
    together = predict(network, batch(*frames), stress=True)
    alone = [predict(network, batch(f), stress=True) for f in frames]
    torch.testing.assert_close(together.energy, torch.cat([p.energy for p in alone], 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(together.forces, torch.cat([p.forces for p in alone], 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(together.stress, torch.cat([p.stress for p in alone], 1), rtol=0, atol=1e-10)


def test_a_lone_atom_has_its_shift_as_energy_and_no_force():
    prediction = predict(model([1, 8]), batch(Frame.of([8], [[0, 0, 0]])))
    assert torch.isfinite(prediction.energy).all()
    assert prediction.forces.abs().max() == 0


def test_the_weight_gradient_of_a_force_loss_is_right():
    """Training differentiates forces by the weights: check against finite differences."""
    network, structures = model([1, 8], l_max=1), batch(water())

    def loss() -> torch.Tensor:
        return forces(network, structures).square().sum()

    for parameter in list(network.parameters())[1::5]:
        (gradient,) = torch.autograd.grad(loss(), parameter)
        index = int(gradient.abs().argmax())
        h = 1e-5
        values = []
        with torch.no_grad():
            for step in (h, -2 * h):
                parameter.view(-1)[index] += step
                values.append(float(loss()))
            parameter.view(-1)[index] += h
        numeric = (values[0] - values[1]) / (2 * h)
        assert numeric == pytest.approx(float(gradient.flatten()[index]), rel=1e-5)


def test_energy_is_twice_differentiable_in_the_positions():
    network = model([1, 8], members=1, l_max=1, num_features=2)
    structures = batch(water())
    edges = neighbor_list(structures, network.config.r_max)
    species = network.species_of(structures.numbers)

    def energy(positions: torch.Tensor) -> torch.Tensor:
        graph = network.graph(species, edges, edges.vectors(positions))
        return network.interaction_energy(species, EdgeTensors.of(graph, network.members)).sum()

    x = structures.positions.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, (x,))
    assert torch.autograd.gradgradcheck(energy, (x,))


def test_an_unknown_element_is_named():
    with pytest.raises(ValueError, match=r"Z = \[1, 8\], got Z = \[6\]"):
        predict(model([1, 8]), batch(ethanol()))


def test_float32_agrees_with_float64():
    structures: Structures = batch(ethanol())
    exact = model([1, 6, 8])
    single = type(exact)(exact.config, [1, 6, 8], avg_num_neighbors=8.0)
    single.load_state_dict(exact.state_dict())
    a, b = predict(exact, structures), predict(single, structures)
    torch.testing.assert_close(a.energy, b.energy, rtol=0, atol=1e-5)
    torch.testing.assert_close(a.forces, b.forces, rtol=0, atol=1e-5)
