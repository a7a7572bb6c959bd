"""Radial basis, smooth cutoff and the radial network."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from potential.linear import CommitteeLinear, Generators, silu


def bessel_basis(
    r: Float[Tensor, "*edges"], r_max: float, n_bessels: int
) -> Float[Tensor, "*edges n_bessels"]:
    """b_n(r) = (2 / r_max) sin(n pi r / r_max) / r, for n = 1 .. n_bessels.

    Gasteiger et al., ICLR 2020 (DimeNet), eq. 7, with NequIP's prefactor (Batzner et al. 2022, eq. 8).
    """
    n = torch.arange(1, n_bessels + 1, dtype=r.dtype, device=r.device)
    r = r.unsqueeze(-1)
    return (2.0 / r_max) * torch.sin((math.pi / r_max) * r * n) / r


def polynomial_cutoff(r: Float[Tensor, "*edges"], r_max: float, p: int) -> Float[Tensor, "*edges"]:
    """Smooth cutoff, 1 at r = 0, with two continuous derivatives at r_max and zero beyond.

    f(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), x = r / r_max
    (Gasteiger et al., ICLR 2020, eq. 8).
    """
    x = r / r_max
    inside = (x < 1.0).to(r.dtype)
    x_p = x**p
    return inside * (1.0 + x_p * (-(p + 1) * (p + 2) / 2 + x * (p * (p + 2) - x * (p * (p + 1) / 2))))


class RadialNetwork(torch.nn.Module):
    """Weights of every path and channel as a function of the distance: an MLP on the radial basis."""

    def __init__(self, generators: Generators, n_in: int, width: int, depth: int, n_out: int) -> None:
        super().__init__()
        sizes = [n_in] + [width] * depth + [n_out]
        self.layers = torch.nn.ModuleList(CommitteeLinear(generators, a, b) for a, b in pairwise(sizes))

    def forward(self, basis: Float[Tensor, "members edges n_in"]) -> Float[Tensor, "members edges n_out"]:
        x = basis
        for layer in self.layers[:-1]:
            x = silu(layer(x))
        return self.layers[-1](x)
