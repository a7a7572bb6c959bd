"""Radial splines: interpolation, smoothness, derivatives, and agreement with the network itself."""

from __future__ import annotations

import pytest
import torch

from potential.nequip import spline
from potential.nequip.geometry import Geometry
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from tests.support.systems import batch, ethanol, model, predict


def test_the_spline_interpolates_with_flat_ends():
    values = torch.randn(20, dtype=torch.float64)
    c = spline.coefficients_from_values(20) @ values
    knots = torch.linspace(0, 5, 20, dtype=torch.float64)
    interval, b, slope = spline.locate(knots, 5.0, 20)
    picked = torch.stack([c[interval + j] for j in range(4)], dim=1)
    torch.testing.assert_close((b * picked).sum(1), values)
    ends = (slope * picked).sum(1)[[0, -1]]
    torch.testing.assert_close(ends, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


def test_value_slope_and_curvature_are_continuous_at_the_knots():
    c = torch.randn(22, dtype=torch.float64)

    def derivatives(r: float) -> list[float]:
        x = torch.tensor([r], dtype=torch.float64, requires_grad=True)
        interval, b, slope = spline.locate(x, 5.0, 20)
        picked = torch.stack([c[interval + j] for j in range(4)], dim=1)
        value = (b * picked).sum()
        (first,) = torch.autograd.grad(value, x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        assert first.item() == pytest.approx((slope * picked).sum().item(), abs=1e-10)
        return [value.item(), first.item(), second.item()]

    knot = 7 * 5.0 / 19
    assert derivatives(knot - 1e-9) == pytest.approx(derivatives(knot + 1e-9), abs=1e-5)


def test_edges_get_the_values_of_their_own_interval():
    r, c = 5.0 * torch.rand(30, dtype=torch.float64), torch.randn(2, 22, 5, dtype=torch.float64)
    interval, b, _ = spline.locate(r, 5.0, 20)
    found = spline.evaluate(b.expand(2, -1, -1), c, interval)
    for e in range(30):
        rows = c[:, interval[e] : interval[e] + 4]
        torch.testing.assert_close(found[:, e], torch.einsum("j,gjn->gn", b[e], rows))


def twins(knots: int = 128) -> tuple[NequIP, NequIP]:
    """The same weights, with the network at every edge and with splines."""
    exact = model([1, 6, 8], num_features=8, radial_mlp_width=32)
    config = exact.config.model_copy(update={"radial": "spline", "radial_knots": knots})
    splined = NequIP(
        config,
        [1, 6, 8],
        avg_num_neighbors=exact.avg_num_neighbors,
        energy_scales=exact.energy_scales.tolist(),
        energy_shifts=exact.energy_shifts.tolist(),
        dtype=torch.float64,
    )
    splined.load_state_dict(exact.state_dict())
    return exact, splined


def test_splines_agree_with_the_network_and_converge_as_the_fourth_power():
    structures = batch(*[ethanol(i) for i in range(4)])
    errors = []
    for knots in (65, 129):
        exact, splined = twins(knots)
        a, b = predict(exact, structures), predict(splined, structures)
        errors.append(float((a.forces - b.forces).abs().mean()))
        assert (a.energy - b.energy).abs().max() < 1e-3
    assert errors[1] < 1e-4, "0.1 meV/Angstrom"
    assert errors[0] / errors[1] > 5, "the slope of a cubic spline converges as spacing^3"


def test_forces_of_a_splined_model_are_exact_derivatives_of_its_energy():
    _, splined = twins(32)
    structures = batch(ethanol())
    forces = predict(splined, structures).forces
    step = torch.zeros_like(structures.positions)
    step[4, 1] = 1e-4
    plus, minus = (predict(splined, structures.at(structures.positions + s * step)) for s in (1, -1))
    numeric = -(plus.energy - minus.energy)[:, 0] / 2e-4
    torch.testing.assert_close(numeric, forces[:, 4, 1], rtol=1e-6, atol=1e-7)


def test_geometry_holds_the_splines_of_each_edge():
    config = ModelConfig(radial="spline", radial_knots=20, r_max=4.0)
    vectors = torch.randn(7, 3, dtype=torch.float64)
    geometry = Geometry.of(vectors, config)
    assert geometry.basis.shape == (7, 4)
    torch.testing.assert_close(geometry.basis.sum(1), torch.ones(7, dtype=torch.float64))
    doubled = Geometry.cat([geometry, geometry])
    assert torch.equal(doubled.interval, geometry.interval.repeat(2))
