"""The radial network: weights of the convolution as functions of the distance."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from potential.linear import CommitteeLinear, Generators, silu


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
