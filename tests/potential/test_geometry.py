"""The closed derivatives of the geometry against autograd, and the formulas of the radial functions."""

from __future__ import annotations

import math

import pytest
import torch

from potential.nequip.bessel import bessel_basis, polynomial_cutoff
from potential.nequip.geometry import Geometry
from potential.nequip.model_config import ModelConfig


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_slopes_are_the_derivatives(l_max):
    config = ModelConfig(l_max=l_max, r_max=4.0)
    vectors = torch.randn(6, 3, dtype=torch.float64) * 1.5

    def functions(v: torch.Tensor) -> torch.Tensor:
        geometry = Geometry.of(v.unsqueeze(0), config)
        return torch.cat([geometry.harmonics[0], geometry.basis[0]])

    geometry = Geometry.of(vectors, config)
    n = (l_max + 1) ** 2
    for e, v in enumerate(vectors):
        jacobian = torch.autograd.functional.jacobian(functions, v)
        torch.testing.assert_close(geometry.harmonics_slope[e], jacobian[:n], rtol=1e-12, atol=1e-11)
        radial = geometry.basis_slope[e].unsqueeze(1) * geometry.unit[e]
        torch.testing.assert_close(radial, jacobian[n:], rtol=1e-12, atol=1e-11)


def test_bessel_functions_are_their_formula_and_orthonormal():
    r_max = 5.0
    r = torch.linspace(1e-4, r_max, 20001, dtype=torch.float64)
    b, _ = bessel_basis(r, r_max, 4)
    torch.testing.assert_close(b[7000, 2], 2 / r_max * torch.sin(3 * math.pi * r[7000] / r_max) / r[7000])
    overlap = torch.trapezoid((r**2).view(-1, 1, 1) * b.unsqueeze(2) * b.unsqueeze(1), r, dim=0)
    # sqrt(2 / r_max) normalises sin(n pi r / r_max) / r; the prefactor 2 / r_max gives 2 / r_max overlap.
    torch.testing.assert_close(overlap, 2 / r_max * torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [2, 6])
def test_cutoff_goes_smoothly_from_one_to_zero(p):
    r = torch.tensor([1e-9, 5.0 - 1e-7, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    value, slope = polynomial_cutoff(r, 5.0, p)
    torch.testing.assert_close(value, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), rtol=0, atol=1e-12)
    (by_autograd,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    torch.testing.assert_close(slope, by_autograd, rtol=0, atol=1e-10)
    (second,) = torch.autograd.grad(by_autograd[1], r)
    assert abs(float(second[1])) < 1e-4
