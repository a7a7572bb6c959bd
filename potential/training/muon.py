"""Muon: momentum whose matrices are made orthogonal before the step.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon; the size of a step as in J. Liu et al., arXiv 2502.16982, Eq. 4.
`torch.optim.Muon` takes one matrix at a time, in bfloat16; this one takes all alike ones, in their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MOMENTUM = 0.95
STEP_SIZE = 0.3
"""Root mean square of a step, in learning rates: so rates that suit Adam suit it (measured on ethanol)."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration, Jordan et al.: singular values end between 0.7 and 1.2."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Steps for parameters of shape (members, ..., rows, columns): matrices, each with a step of its own.

    B <- m B + (1 - m) g;  W <- W - 0.3 lr sqrt(max(rows, columns)) orthogonal((1 - m) g + m B), m = 0.95.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        super().__init__(list(matrices), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move the parameters that have a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad for p in moved]
            momenta = [self._momentum(p) for p in moved]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
            alike: dict[torch.Size, list[int]] = {}
            for index, parameter in enumerate(moved):
                alike.setdefault(parameter.shape[-2:], []).append(index)
            for shape, indices in alike.items():
                stacked = torch.cat([ahead[i].reshape(-1, *shape) for i in indices])
                steps = orthogonal(stacked) * (-group["lr"] * STEP_SIZE * math.sqrt(max(shape)))
                sizes = [moved[i].shape[:-2].numel() for i in indices]
                for i, step in zip(indices, steps.split(sizes), strict=True):
                    moved[i].add_(step.view_as(moved[i]))

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        found: Tensor = state["momentum"]
        return found


def orthogonal(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """U V^T of each M = U S V^T, nearly: its singular values lie between 0.7 and 1.2.

    A Newton-Schulz iteration, which needs no decomposition: X <- a X + (b A + c A^2) X with A = X X^T.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-20)[:, None, None]
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
