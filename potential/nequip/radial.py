"""The radial network: weights of the convolution as functions of the distance.

With `radial: mlp` it is evaluated at every edge, on Bessel functions of the distance; with
`radial: spline` at the knots of a spline, on which the edges are interpolated. What either needs of an
edge is made here too.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.nequip import spline
from potential.nequip.bessel import radial_basis
from potential.nequip.linear import CommitteeLinear, Generators, silu
from potential.nequip.model_config import ModelConfig
from potential.nequip.precision import float32_products


class EdgeBasis(NamedTuple):
    """What the radial network needs of a distance.

    Attributes:
        values: Bessel functions times the smooth cutoff for `radial: mlp`, the four B-splines of the
            interval for `radial: spline`.
        slopes: their derivatives by r, 1/Angstrom.
        interval: the interval of the splines; None for `radial: mlp`.
    """

    values: Float[Tensor, "edges radial"]
    slopes: Float[Tensor, "edges radial"]
    interval: Int[Tensor, "edges"] | None


def edge_basis(r: Float[Tensor, "edges"], config: ModelConfig) -> EdgeBasis:
    """From the distances, Angstrom."""
    if config.radial == "spline":
        interval, values, slopes = spline.locate(r, config.r_max, config.radial_knots)
        return EdgeBasis(values, slopes, interval)
    return EdgeBasis(*radial_basis(r, config), None)


class RadialNetwork(torch.nn.Module):
    """Weights of every path and channel: an MLP on the radial basis (Batzner et al. 2022, eq. 9)."""

    def __init__(self, generators: Generators, config: ModelConfig, n_out: int) -> None:
        super().__init__()
        width, depth = config.radial_mlp_width, config.radial_mlp_depth
        sizes = [config.num_bessels] + [width] * depth + [n_out]
        self.layers = torch.nn.ModuleList(CommitteeLinear(generators, a, b) for a, b in pairwise(sizes))
        self.members = len(generators)
        if config.radial == "spline":
            basis, _ = radial_basis(spline.knots(config.r_max, config.radial_knots), config)
            fit = spline.coefficients_from_values(config.radial_knots)
            self.register_buffer("knot_basis", basis, persistent=False)
            self.register_buffer("fit", fit, persistent=False)

    def forward(
        self, basis: Float[Tensor, "members edges radial"], interval: Int[Tensor, "edges"] | None
    ) -> Float[Tensor, "members edges n_out"]:
        if interval is None:
            return self.network(basis)
        return spline.evaluate(basis, self.coefficients(), interval)

    def network(self, basis: Float[Tensor, "members points n_in"]) -> Float[Tensor, "members points n_out"]:
        """The MLP itself."""
        x = basis
        for layer in self.layers[:-1]:
            x = silu(layer(x))
        weights: Tensor = self.layers[-1](x)
        return weights

    def coefficients(self) -> Float[Tensor, "members coefficients n_out"]:
        """The splines through the network's values at the knots.

        The interpolation is applied before the last, linear layer: the same by linearity, and cheaper.
        """
        x = self.get_buffer("knot_basis").expand(self.members, -1, -1)
        with float32_products("ieee"):  # errors from knot to knot are noise in the slope; it costs little
            for layer in self.layers[:-1]:
                x = silu(layer(x))
            coefficients: Tensor = self.layers[-1](self.get_buffer("fit") @ x)
        return coefficients
