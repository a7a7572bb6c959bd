"""The gradient of the loss in dual numbers against double backward by autograd."""

from __future__ import annotations

import pytest
import torch

from potential.backends.compiled import Compiled
from potential.backends.reference import Reference
from potential.training.batches import Loader
from potential.training.gradient import losses_and_gradient
from potential.training.loss import assemble, committee_loss
from potential.training.training_config import TrainingConfig
from tests.support.systems import crystal, ethanol, labelled, model, water

CONFIG = TrainingConfig(energy_weight=2.0, force_weight=0.7)


def gradient_by(backend, batch, weights, config):
    parameters = list(backend.model.parameters())
    for parameter in parameters:
        parameter.grad = None
    losses, _ = losses_and_gradient(backend, batch, weights, config)
    return losses, [parameter.grad for parameter in parameters]


def compare(network, data, config=CONFIG) -> None:
    batch = Loader(data, network).batch(range(len(data)))
    weights = torch.rand(network.members, len(data), dtype=torch.float64)
    expected_losses, expected = gradient_by(Reference(network), batch, weights, config)
    losses, gradients = gradient_by(Compiled(network), batch, weights, config)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-12, atol=0)
    for found, exact in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-11 * float(exact.abs().max()))


@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("l_max", [0, 1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_equals_double_backward(l_max, parity):
    network = model([1, 6, 8], l_max=l_max, parity=parity, num_layers=3)
    compare(network, labelled(ethanol(), water(), water(1)))


@pytest.mark.parametrize("correlation", [2, 3])
@pytest.mark.parametrize(("l_max", "parity"), [(0, False), (1, True), (2, False)])
def test_equals_double_backward_with_products_of_messages(l_max, parity, correlation):
    network = model([1, 6, 8], l_max=l_max, parity=parity, correlation=correlation)
    compare(network, labelled(ethanol(), water(), water(1)))


@pytest.mark.parametrize("channels", [1, 3, 24])
def test_every_channel_count(channels):
    compare(model([1, 8], num_features=channels), labelled(water(), water(1)))


def test_with_stress():
    config = CONFIG.model_copy(update={"stress_weight": 50.0})
    compare(model([6, 14]), labelled(crystal(), crystal(1), stress=True), config)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_is_the_same_in_every_run_and_right_for_any_number_of_threads(threads):
    network, data = model([1, 6, 8], members=3), labelled(ethanol(), water())
    batch, weights = Loader(data, network).batch([0, 1]), torch.ones(3, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compare(network, data)
        runs = [gradient_by(Compiled(network), batch, weights, CONFIG)[1] for _ in range(5)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for run in runs for a, b in zip(run, runs[0], strict=True))


def test_the_gradient_is_the_slope_of_the_loss():
    network, data = model([1, 8], members=1), labelled(water(), water(1))
    batch, weights = Loader(data, network).batch([0, 1]), torch.ones(1, 2)
    _, gradients = gradient_by(Compiled(network), batch, weights, CONFIG)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        direction, ends = torch.randn_like(parameter), list[float]()
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter.add_(step * direction)
                ends.append(float(loss_alone(network, batch, weights)))
                parameter.sub_(step * direction)
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


def loss_alone(network, batch, weights) -> torch.Tensor:
    prediction = assemble(*Reference(network).energy_and_slope(batch.graph), batch, stress=False)
    return committee_loss(prediction, batch, weights, CONFIG).sum()
