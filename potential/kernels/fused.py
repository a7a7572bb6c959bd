"""The fused convolution as a torch operation that can be differentiated any number of times.

The three primitives are closed under differentiation (c marks a cotangent):

  F(h, Y, w)          backward: B(c, Y, w) and A(h, Y, w, c)
  B(g, Y, w)          backward: F(c, Y, w) for g, and A(c, Y, w, g) for w and Y
  A(h, Y, w, g)       backward with (c_w, c_Y): B(g, Y, c_w) + B(g, c_Y, w) for h,
                      F(h, Y, c_w) + F(h, c_Y, w) for g, and A(h, c_Y, c_w, g) for w and Y
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from potential.kernels.arguments import Function
from potential.kernels.build import load
from potential.kernels.primitives import Primitives
from potential.kernels.source import ENTRIES, constants, convolution_source
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable


class FusedConvolution(torch.nn.Module):
    """Stands in for `potential.nequip.convolution.Convolution`, with a kernel that does the work."""

    def __init__(self, kernel: Primitives, channels: int) -> None:
        super().__init__()
        self.kernel, self.channels = kernel, channels

    def forward(
        self,
        features: Float[Tensor, "members atoms components channels"],
        harmonics: Float[Tensor, "members edges harmonics"],
        weights: Float[Tensor, "members edges paths channels"],
        topology: Topology,
    ) -> Float[Tensor, "members atoms rows channels"]:
        if features.shape[3] != self.channels:  # the kernel would read past the end
            raise RuntimeError(f"a kernel for {self.channels} channels got {features.shape[3]}")
        convolved: Tensor = _Forward.apply(features, harmonics, weights, topology, self.kernel)
        return convolved


@cache
def cpp_kernel(table: PathTable, channels: int, dtype: torch.dtype, device: torch.device) -> Primitives:
    """The primitives on the CPU.

    Raises:
        CompilerError: without a working compiler.
    """
    library = load(convolution_source(table, channels, dtype), tuple(entry.name for entry in ENTRIES))
    sizes = constants(table, channels)
    forward, backward, adjoint = (Function(entry, library, sizes, dtype) for entry in ENTRIES)
    return Primitives(table, forward, backward, adjoint)


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, y: Tensor, w: Tensor, topology: Topology, kernel: Primitives) -> Tensor:
        ctx.save_for_backward(h, y, w)
        ctx.rest = (topology, kernel)
        return kernel.forward(h, y, w, topology)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        h, y, w = ctx.saved_tensors
        dh = _Backward.apply(g, y, w, *ctx.rest) if ctx.needs_input_grad[0] else None
        dw = dy = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            dw, dy = _Adjoint.apply(h, y, w, g, *ctx.rest)
        return dh, dy, dw, None, None


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, y: Tensor, w: Tensor, topology: Topology, kernel: Primitives) -> Tensor:
        ctx.save_for_backward(g, y, w)
        ctx.rest = (topology, kernel)
        return kernel.backward(g, y, w, topology)

    @staticmethod
    def backward(ctx: Any, c: Tensor) -> tuple[Tensor | None, ...]:
        g, y, w = ctx.saved_tensors
        dg = _Forward.apply(c, y, w, *ctx.rest) if ctx.needs_input_grad[0] else None
        dw = dy = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            dw, dy = _Adjoint.apply(c, y, w, g, *ctx.rest)
        return dg, dy, dw, None, None


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, y: Tensor, w: Tensor, g: Tensor, topology: Topology, kernel: Primitives
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(h, y, w, g)
        ctx.rest = (topology, kernel)
        ctx.set_materialize_grads(False)
        return kernel.adjoint(h, y, w, g, topology)

    @staticmethod
    def backward(ctx: Any, c_w: Tensor | None, c_y: Tensor | None) -> tuple[Tensor | None, ...]:
        h, y, w, g = ctx.saved_tensors
        needs_h, needs_y, needs_w, needs_g = ctx.needs_input_grad[:4]
        dh = dg = dw = dy = None
        for other_y, other_w in ((y, c_w), (c_y, w)):
            if other_y is None or other_w is None:
                continue
            if needs_h:
                part = _Backward.apply(g, other_y, other_w, *ctx.rest)
                dh = part if dh is None else dh + part
            if needs_g:
                part = _Forward.apply(h, other_y, other_w, *ctx.rest)
                dg = part if dg is None else dg + part
        if needs_y or needs_w:
            zero_y = torch.zeros_like(y[:1]).expand_as(y) if c_y is None else c_y
            zero_w = torch.zeros_like(w) if c_w is None else c_w
            dw, dy = _Adjoint.apply(h, zero_y, zero_w, g, *ctx.rest)
        return dh, dy, dw, dg, None, None
