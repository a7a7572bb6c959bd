"""The linear map of a committee and normalised activations.

Weights are drawn from N(0, 1) and divided by sqrt(fan in) in the forward pass (e3nn's
parametrisation): every weight has the same scale, so one learning rate suits all layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# One random number generator for each member: a member's initial weights do not depend on how many
# others there are.
Generators = Sequence[torch.Generator]

# Activations scaled so that a unit normal input gives an output of unit second moment (e3nn's
# `normalize2mom`): sqrt(1 / E[f(z)^2]), z ~ N(0, 1).
SILU_SCALE = 1.6765324703310907
TANH_SCALE = 1.5925374197228312


def silu(x: Tensor) -> Tensor:
    return SILU_SCALE * torch.nn.functional.silu(x)


def tanh(x: Tensor) -> Tensor:
    return TANH_SCALE * torch.tanh(x)


def normal(generators: Generators, *shape: int) -> Float[Tensor, "members ..."]:
    """N(0, 1) numbers, drawn for each member from its own generator."""
    return torch.stack([torch.randn(*shape, generator=generator) for generator in generators])


class CommitteeLinear(torch.nn.Module):
    """y = x W / sqrt(n_in), one matrix for each member, no bias."""

    def __init__(self, generators: Generators, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(normal(generators, n_in, n_out))
        self.scale = n_in**-0.5

    def forward(self, x: Float[Tensor, "members rows n_in"]) -> Float[Tensor, "members rows n_out"]:
        return torch.bmm(x, self.weight * self.scale)
