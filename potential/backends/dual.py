"""The gradient of a loss on energies and forces, in dual numbers: no graph is differentiated twice.

A loss L(E, s) on energies E and slopes s_e = dE/dd_e of the edges has, by the weights, the gradient

  dL/dtheta = d/dtheta [ sum c E + D_v E ],     c = dL/dE, v_e = dL/ds_e, both held fixed,

where D_v E = sum_e v_e . dE/dd_e is the derivative of E along v: the part in eps of E in dual numbers,
with the edges moved by eps v_e (Pearlmutter, Neural Comput. 6, 147 (1994): exact products with the
Hessian). So a step is one evaluation (`potential.backends.compiled`), one forward pass in dual numbers
and one backward pass through it. Double backward gives the same numbers, with more passes over the edges.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.backends.packed import PackedBlock, PackedWeights
from potential.kernels.arguments import Packed
from potential.kernels.block import BlockFunctions, block_functions


def weighted_energy_and_derivative(
    weights: PackedWeights,
    species: Int[Tensor, "atoms"],
    graph: Packed,
    energy_weight: Float[Tensor, "members atoms"],
    direction: Float[Tensor, "members edges 3"],
) -> Float[Tensor, ""]:
    """sum c E + D_v E, for c = `energy_weight` and v = `direction`; differentiable by the weights."""
    x = weights.embedding.index_select(1, species).unsqueeze(2)
    tangent = torch.zeros_like(x)
    direction = direction.contiguous()
    for block in weights.blocks:
        x, tangent = _DualBlock.apply(
            x,
            tangent,
            block.linear,
            block.update,
            block.coefficients,
            block,
            graph,
            direction,
        )
    scale = weights.scales.index_select(0, species)
    features = (energy_weight.unsqueeze(2) * x.squeeze(2) + tangent.squeeze(2)) * scale.unsqueeze(1)
    return (features.sum(1) * weights.readout).sum()


class _DualBlock(torch.autograd.Function):
    """One interaction block in dual numbers; differentiable once, by features and weights."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        tangent: Tensor,
        _linear: Tensor,
        _update: Tensor,
        _coefficients: Tensor,
        block: PackedBlock,
        graph: Packed,
        direction: Tensor,
    ) -> tuple[Tensor, Tensor]:
        members, atoms = x.shape[:2]
        layout = block.layout
        h, hd, messages, messagesd, pre, pred, out, outd = (
            x.new_empty(members, atoms, rows, layout.channels)
            for rows in (
                layout.components_in,
                layout.rows,
                layout.rows_before_gate,
                layout.components_out,
            )
            for _ in range(2)
        )
        _passes(block).forward(
            graph,
            block.arguments,
            x=x,
            xd=tangent,
            h=h,
            hd=hd,
            messages=messages,
            messagesd=messagesd,
            pre=pre,
            pred=pred,
            out=out,
            outd=outd,
            direction=direction,
        )
        kept = (h, hd, messages, messagesd, pre, pred)
        ctx.save_for_backward(x, tangent, *kept)
        ctx.rest = (block, graph, direction)
        return out, outd

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_out: Tensor, by_tangent: Tensor) -> tuple[Tensor | None, ...]:
        x, tangent, h, hd, messages, messagesd, pre, pred = ctx.saved_tensors
        block, graph, direction = ctx.rest
        members, threads = len(x), torch.get_num_threads()
        # Each thread at work on a member sums the coefficients' gradient apart: the order of the
        # sum, and so the result, depends on nothing but the number of threads.
        slabs = threads // gcd(threads, members)
        # Scratch comes before what lives on: freed at the top of the heap it would go back to the system,
        # to be had again page by page in the next step.
        dpre, dpred, g, gd, dh, dhd = (torch.empty_like(t) for t in (pre, pre, messages, messages, h, h))
        by_x, by_x_tangent = torch.empty_like(x), torch.empty_like(x)
        by_linear, by_update = torch.empty_like(block.linear), torch.empty_like(block.update)
        by_coefficients = x.new_empty(members, slabs, *block.coefficients.shape[1:])
        _passes(block).backward(
            graph,
            block.arguments,
            slabs=slabs,
            dout=by_out.contiguous(),
            doutd=by_tangent.contiguous(),
            x=x,
            xd=tangent,
            h=h,
            hd=hd,
            messages=messages,
            messagesd=messagesd,
            pre=pre,
            pred=pred,
            dpre=dpre,
            dpred=dpred,
            g=g,
            gd=gd,
            dh=dh,
            dhd=dhd,
            dx=by_x,
            dxd=by_x_tangent,
            dlinear=by_linear,
            dupdate=by_update,
            dtable=by_coefficients,
            direction=direction,
        )
        return by_x, by_x_tangent, by_linear, by_update, by_coefficients.sum(1), None, None, None


def _passes(block: PackedBlock) -> BlockFunctions:
    return block_functions("dual", block.layout, block.linear.dtype)
