"""The compiled form of a committee against the model it was made of."""

from __future__ import annotations

import pytest
import torch

from potential.backends.compiled import Compiled
from potential.backends.derivatives import energy_and_forces
from potential.nequip.model import NequIP
from tests.support.systems import batch, crystal, ethanol, model, predict, water


def compare(committee, structures) -> None:
    expected = predict(committee, structures, stress=True)
    found = energy_and_forces(Compiled(committee), structures, stress=True)
    torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.stress, expected.stress, rtol=0, atol=1e-10)


@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("l_max", [0, 1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_equals_the_model(l_max, parity):
    committee = model([1, 6, 8], l_max=l_max, parity=parity, num_layers=3)
    compare(committee, batch(ethanol(), water(1), ethanol(2)))


@pytest.mark.parametrize("correlation", [2, 3])
@pytest.mark.parametrize(("l_max", "parity"), [(0, False), (1, True), (2, False)])
def test_equals_the_model_with_products_of_messages(l_max, parity, correlation):
    committee = model([1, 6, 8], l_max=l_max, parity=parity, correlation=correlation)
    compare(committee, batch(ethanol(), water(1), ethanol(2)))


@pytest.mark.parametrize("channels", [1, 3, 24, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 32))])
def test_every_channel_count(channels):
    compare(model([1, 8], num_features=channels, parity=True), batch(water(), water(1)))


def test_a_crystal_smaller_than_the_cutoff():
    compare(model([6, 14], num_layers=3, members=3), batch(crystal()))


def test_one_layer_and_an_atom_without_neighbours():
    frame = water()
    far = type(frame).of([8, 1], [[0, 0, 0], [50.0, 0, 0]])
    compare(model([1, 8], num_layers=1), batch(frame, far))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compare(model([1, 6, 8], members=3), batch(ethanol()))
    finally:
        torch.set_num_threads(before)


def test_single_precision_is_exact_to_rounding():
    committee = model([1, 6, 8], num_features=16, num_layers=3)
    structures = batch(ethanol(), ethanol(1))
    exact = predict(committee, structures)
    single = NequIP(committee.config, [1, 6, 8], avg_num_neighbors=8.0, dtype=torch.float32)
    single.load_state_dict(committee.state_dict())
    found = energy_and_forces(Compiled(single), structures)
    assert float((found.forces - exact.forces).abs().max()) < 1e-4 * float(exact.forces.abs().max())
