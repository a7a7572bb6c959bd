"""Radial functions as cubic B-splines: the network is evaluated at the knots, not at every edge.

  w(r) = sum_{j=0..3} b_j(t) c[i + j],   i + t = r / spacing,   b_j the uniform cubic B-spline

c interpolates the network's values at K knots on [0, r_max] with zero slope at both ends (which the
exact functions have: sin(kr)/r is even in r, and the cutoff is flat at r_max), so w is twice
continuously differentiable and the radial cost no longer grows with the number of edges. The idea of
DP-Compress (Lu et al., J. Chem. Theory Comput. 18, 5559 (2022)), in training as well as after it.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor


def knots(r_max: float, n_knots: int) -> Float64[Tensor, "knots"]:
    """Positions of the knots, Angstrom. The first sits just off zero, where sin(kr)/r is defined."""
    positions = torch.linspace(0.0, r_max, n_knots, dtype=torch.float64)
    positions[0] = 1e-6
    return positions


def locate(
    r: Float[Tensor, "edges"], r_max: float, n_knots: int
) -> tuple[Int[Tensor, "edges"], Float[Tensor, "edges 4"], Float[Tensor, "edges 4"]]:
    """Interval of each distance, and the four B-splines on it with their derivatives by r."""
    spacing = r_max / (n_knots - 1)
    x = r / spacing
    interval = x.long().clamp(0, n_knots - 2)
    t = (x - interval).unsqueeze(-1)
    s = 1.0 - t
    values = torch.cat(
        [
            s**3,
            3 * t**3 - 6 * t**2 + 4,
            3 * s**3 - 6 * s**2 + 4,
            t**3,
        ],
        dim=-1,
    )
    slopes = torch.cat(
        [
            -3 * s**2,
            9 * t**2 - 12 * t,
            -(9 * s**2 - 12 * s),
            3 * t**2,
        ],
        dim=-1,
    )
    return interval, values / 6, slopes / (6 * spacing)


@cache
def coefficients_from_values(n_knots: int) -> Float64[Tensor, "coefficients knots"]:
    """The matrix that turns values at the knots into coefficients (n_knots + 2 of them).

    Solves (c[k] + 4 c[k+1] + c[k+2]) / 6 = value_k with c[2] = c[0] and c[-1] = c[-3].
    """
    n = n_knots + 2
    system = torch.zeros(n, n, dtype=torch.float64)
    for k in range(n_knots):
        system[k, k : k + 3] = torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) / 6
    system[n_knots, 0], system[n_knots, 2] = -1.0, 1.0
    system[n_knots + 1, n - 3], system[n_knots + 1, n - 1] = -1.0, 1.0
    inverse: Tensor = torch.linalg.inv(system)
    return inverse[:, :n_knots].contiguous()


def evaluate(
    b: Float[Tensor, "members edges 4"],
    c: Float[Tensor, "members coefficients columns"],
    interval: Int[Tensor, "edges"],
) -> Float[Tensor, "members edges columns"]:
    """The splines of coefficients `c` at edges with the values `b` of the four B-splines."""
    terms = [b[:, :, j : j + 1] * c.index_select(1, interval + j) for j in range(4)]
    return terms[0] + terms[1] + terms[2] + terms[3]
