"""One contract for every backend, which is chosen when, and that one with other mathematics is refused."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
import torch

from potential.backends import choose, proof
from potential.backends.choose import choose_backend
from potential.backends.compiled import Compiled
from potential.backends.derivatives import energy_and_forces
from potential.backends.fused import Fused
from potential.backends.proof import DisagreementError, few_atoms, prove
from potential.backends.reference import Reference
from potential.backends.replayed import Replayed
from potential.evaluator import Evaluator
from potential.kernels.fused import cpp_kernel
from potential.kernels.triton_kernel import triton_kernel
from potential.nequip.interaction import Interaction
from potential.nequip.model import NequIP
from potential.training.batches import Loader
from potential.training.gradient import losses_and_gradient
from potential.training.training_config import TrainingConfig
from tests.support.systems import batch, crystal, ethanol, labelled, model, predict, water

CONFIG = TrainingConfig(energy_weight=2.0, force_weight=0.7, stress_weight=30.0)


def fused(network: NequIP) -> Fused:
    return Fused(network, cpp_kernel, "fused")


def replayed(network: NequIP) -> Replayed:
    return Replayed(fused(network), record=lambda function, device: function)


backends = pytest.mark.parametrize("make", [Reference, fused, replayed, Compiled])


def gradients(backend, loader, weights):
    batch = loader.batch(range(loader.size))
    backend.model.zero_grad()
    losses, _ = losses_and_gradient(backend, batch, weights, CONFIG)
    return losses, [p.grad.clone() for p in backend.model.parameters()]


@backends
@pytest.mark.parametrize(
    ("l_max", "parity", "correlation"),
    [(0, True, 1), (1, False, 1), (2, True, 1), (1, True, 2), (2, False, 3)],
)
def test_says_what_the_reference_says(make, l_max, parity, correlation):
    network = model([1, 6, 8], l_max=l_max, parity=parity, correlation=correlation)
    structures = batch(ethanol(), water(1))
    expected = predict(network, structures, stress=True)
    found = energy_and_forces(make(network), structures, stress=True)
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-10)
    graph = few_atoms(network)
    features = make(network).features(graph)
    torch.testing.assert_close(features, Reference(network).features(graph), rtol=0, atol=1e-11)
    assert not features.requires_grad
    assert not any(x.requires_grad for x in make(network).energy_and_slope(graph))


@backends
@pytest.mark.parametrize("correlation", [1, 3])
def test_the_gradient_of_the_weights_is_the_references(make, correlation):
    network = model([6, 14], members=3, correlation=correlation)
    loader, weights = Loader(labelled(crystal(), crystal(1), stress=True), network), torch.rand(3, 2)
    expected_losses, expected = gradients(Reference(network), loader, weights)
    losses, found = gradients(make(network), loader, weights)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-11, atol=0)
    for gradient, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, exact, rtol=0, atol=1e-11 * float(exact.abs().max()))


@backends
def test_the_gradient_is_added_to_what_is_there(make):
    network = model([1, 8])
    loader, weights = Loader(labelled(water(), water(1)), network), torch.ones(2, 2)
    _, once = gradients(make(network), loader, weights)
    losses_and_gradient(make(network), loader.batch([0, 1]), weights, CONFIG)
    for parameter, gradient in zip(network.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


@backends
def test_forces_are_the_slope_of_the_energy(make):
    backend, structures, h = make(model([1, 6, 8])), batch(ethanol()), 1e-4
    forces = energy_and_forces(backend, structures).forces
    step = torch.zeros_like(structures.positions)
    step[3, 1] = h
    plus, minus = (
        energy_and_forces(backend, structures.at(structures.positions + s * step)).energy[:, 0]
        for s in (1, -1)
    )
    torch.testing.assert_close(-(plus - minus) / (2 * h), forces[:, 3, 1], rtol=1e-6, atol=1e-7)


@backends
def test_is_the_same_in_every_run(make):
    network = model([1, 6, 8], members=2)
    backend, loader = make(network), Loader(labelled(ethanol(), water()), network)
    first = gradients(backend, loader, torch.ones(2, 2))[1]
    again = gradients(backend, loader, torch.ones(2, 2))[1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    graph = few_atoms(network)
    once, twice = backend.energy_and_slope(graph), backend.energy_and_slope(graph)
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))


@backends
def test_new_weights_count_after_a_refresh(make):
    network = model([1, 8])
    backend, graph = make(network), few_atoms(network)
    before = backend.energy_and_slope(graph).energy
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.1)
    backend.refresh()
    after = backend.energy_and_slope(graph).energy
    assert float((after - before).abs().max()) > 1e-3
    torch.testing.assert_close(after, Reference(network).energy_and_slope(graph).energy, rtol=0, atol=1e-11)


@backends
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_proves_itself(make, dtype):
    network = model([1, 6, 8], l_max=1).to(dtype)
    network.energy_scales = network.energy_scales.double()
    held = [torch.ones_like(p) for p in network.parameters()]
    for parameter, gradient in zip(network.parameters(), held, strict=True):
        parameter.grad = gradient
    prove(make(network), training=True)
    assert all(p.grad is g for p, g in zip(network.parameters(), held, strict=True))


def test_the_few_atoms_are_of_every_species_and_one_is_alone():
    network = model([1, 6, 7, 8, 9, 15, 16])
    graph = few_atoms(network)
    assert set(graph.species.tolist()) == set(range(7))
    assert int(graph.topology.row[-2]) == int(graph.topology.row[-1]) == len(graph.topology.sender)
    assert len(graph.topology.sender) > 20


def residual(forward):
    """`Interaction.forward` with a residual connection where the irreps allow one."""

    def with_residual(self, features, species, edges):
        out = forward(self, features, species, edges)
        return out + 0.3 * features if out.shape == features.shape else out

    return with_residual


@pytest.mark.parametrize("training", [False, True])
def test_a_changed_interaction_is_not_evaluated_with_the_old_mathematics(monkeypatch, training):
    choose._warn_once.cache_clear()
    unchanged = predict(model([1, 6, 8], num_layers=3), batch(ethanol()))
    monkeypatch.setattr(Interaction, "forward", residual(Interaction.forward))
    network = model([1, 6, 8], num_layers=3)
    with pytest.raises(DisagreementError, match=r"energies|slopes"):
        prove(Compiled(network), training=training)
    with pytest.warns(
        RuntimeWarning, match=r"compiled blocks differ from plain torch: .* of the largest"
    ) as caught:
        backend = choose_backend(network, training=training)
    assert len(caught) == 1
    assert isinstance(backend, Fused), "its convolution is still that of the changed model"
    found, expected = energy_and_forces(backend, batch(ethanol())), predict(network, batch(ethanol()))
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-10)
    assert float((found.forces - unchanged.forces).abs().max()) > 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose_backend(network, training=training)


class WithoutGate(Interaction):
    """A layer of another structure: what the compiled blocks look for is not there."""

    mixing: torch.nn.Module

    def forward(self, features, species, edges):
        weights = self.radial(edges.basis, edges.interval).unflatten(2, (-1, self.channels))
        aggregated = self.convolution(self.linear(features), edges.harmonics, weights, edges.topology)
        return self._gate(self.mixing(aggregated, features, species))


def test_a_layer_that_the_compiled_blocks_do_not_know_runs_by_autograd():
    choose._warn_once.cache_clear()
    network = model([1, 8])
    for block in network.blocks:
        block.__class__ = WithoutGate
        block.mixing = block.update
        del block.update
    with pytest.warns(RuntimeWarning, match="has no attribute 'update'"):
        backend = choose_backend(network)
    found, expected = energy_and_forces(backend, batch(water())), predict(network, batch(water()))
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-10)


def test_a_parameter_that_the_kernels_ignore_is_found_by_its_gradient(monkeypatch):
    """At its initial zero the residual changes no energy, but training would never move it."""
    network = model([1, 8], num_layers=3)
    for block in network.blocks:
        block.share = torch.nn.Parameter(torch.zeros(network.members, 1, 1, 1, dtype=torch.float64))
    plain = Interaction.forward

    def forward(self, features, species, edges):
        out = plain(self, features, species, edges)
        return out + self.share * features if out.shape == features.shape else out

    monkeypatch.setattr(Interaction, "forward", forward)
    prove(Compiled(network), training=False)
    with pytest.raises(DisagreementError, match=r"gradient of blocks\.1\.share by 1\.0e"):
        prove(Compiled(network), training=True)


def test_a_difference_of_rounding_is_told_from_one_of_mathematics(monkeypatch):
    network = model([1, 8])
    monkeypatch.setitem(proof.TOLERANCE, torch.float64, 1e-25)
    with pytest.raises(DisagreementError, match=r"by \d\.\de-1\d of the largest"):
        prove(Compiled(network), training=False)


@pytest.mark.parametrize(("radial", "expected"), [("spline", Compiled), ("mlp", Fused)])
def test_the_fastest_that_the_model_allows_is_chosen_and_named(radial, expected, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger="potential.backends.choose"):
        warnings.simplefilter("error")
        evaluator = Evaluator(model([1, 8], radial=radial))
    assert isinstance(evaluator.backend, expected)
    assert f"a committee of 2 runs on {evaluator.backend.name}" in caplog.messages


@pytest.mark.parametrize("training", [False, True])
def test_without_a_compiler_plain_torch_takes_over_with_one_warning(tmp_path, monkeypatch, training):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    choose._warn_once.cache_clear()
    cpp_kernel.cache_clear()
    network = model([1, 8], num_features=5)
    with pytest.warns(RuntimeWarning, match=r"running on plain torch, .*: no C\+\+ compiler found") as caught:
        backend = choose_backend(network, training=training)
    assert len(caught) == 1
    assert isinstance(backend, Reference)
    assert bool(torch.isfinite(energy_and_forces(backend, batch(water())).forces).all())


def test_without_triton_plain_torch_takes_over(monkeypatch):
    """A machine with a card and no Triton: the kernels for it cannot be built."""
    monkeypatch.setitem(sys.modules, "triton", None)
    choose._warn_once.cache_clear()
    network = model([1, 8])
    monkeypatch.setattr(
        choose, "_fastest_first", lambda model, **_: [lambda m: Fused(m, triton_kernel, "Triton")]
    )
    with pytest.warns(RuntimeWarning, match="running on plain torch, .*: cannot import Triton"):
        assert isinstance(choose_backend(network), Reference)


def test_descriptors_are_the_same_by_every_backend():
    evaluator = Evaluator(model([1, 6, 8]))
    compiled = evaluator.descriptors([ethanol(), water()])
    evaluator.backend = Reference(evaluator.model)
    assert compiled == pytest.approx(evaluator.descriptors([ethanol(), water()]), abs=1e-10)
