"""Bessel functions of the distance times a smooth cutoff, with their derivatives in closed form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from potential.nequip.model_config import ModelConfig


def radial_basis(
    r: Float[Tensor, "edges"], config: ModelConfig
) -> tuple[Float[Tensor, "edges bessels"], Float[Tensor, "edges bessels"]]:
    """Bessel functions times the smooth cutoff, and their derivatives by r."""
    bessel, bessel_slope = bessel_basis(r, config.r_max, config.num_bessels)
    cutoff, cutoff_slope = (
        x.unsqueeze(-1) for x in polynomial_cutoff(r, config.r_max, config.polynomial_cutoff_p)
    )
    return bessel * cutoff, bessel_slope * cutoff + bessel * cutoff_slope


def bessel_basis(
    r: Float[Tensor, "edges"], r_max: float, n_bessels: int
) -> tuple[Float[Tensor, "edges bessels"], Float[Tensor, "edges bessels"]]:
    """b_n(r) = (2 / r_max) sin(n pi r / r_max) / r for n = 1 .. n_bessels, and db_n/dr.

    Gasteiger et al., ICLR 2020 (DimeNet), eq. 7, with the prefactor of Batzner et al. 2022, eq. 8.
    """
    k = torch.arange(1, n_bessels + 1, dtype=r.dtype, device=r.device) * (math.pi / r_max)
    r = r.unsqueeze(-1)
    value = (2.0 / r_max) * torch.sin(k * r) / r
    return value, ((2.0 / r_max) * k * torch.cos(k * r) - value) / r


def polynomial_cutoff(
    r: Float[Tensor, "edges"], r_max: float, p: int
) -> tuple[Float[Tensor, "edges"], Float[Tensor, "edges"]]:
    """Smooth cutoff and its derivative: 1 at r = 0, zero beyond r_max, two continuous derivatives there.

    f(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), x = r / r_max
    f'(x) = -p(p+1)(p+2)/2 x^(p-1) (1 - x)^2
    (Gasteiger et al., ICLR 2020, eq. 8).
    """
    x = r / r_max
    inside = (x < 1.0).to(r.dtype)
    value = 1.0 - x**p * ((p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * (p * (p + 1) / 2)))
    slope = -(p * (p + 1) * (p + 2) / 2) * x ** (p - 1) * (1.0 - x) ** 2 / r_max
    return inside * value, inside * slope
