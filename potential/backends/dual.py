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
from jaxtyping import Float
from torch import Tensor

from potential.backends.packed import PackedBlock, PackedWeights
from potential.kernels.block import block_library, call
from potential.nequip.geometry import Geometry
from potential.nequip.graph import Graph


def weighted_energy_and_derivative(
    weights: PackedWeights,
    graph: Graph,
    energy_weight: Float[Tensor, "members atoms"],
    direction: Float[Tensor, "members edges 3"],
) -> Float[Tensor, ""]:
    """sum c E + D_v E, for c = `energy_weight` and v = `direction`; differentiable by the weights."""
    species = graph.species
    x = weights.embedding.index_select(1, species).unsqueeze(2)
    tangent = torch.zeros_like(x)
    for block in weights.blocks:
        x, tangent = _DualBlock.apply(
            x,
            tangent,
            block.linear,
            block.update,
            block.coefficients,
            block,
            graph,
            direction.contiguous(),
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
        linear: Tensor,
        update: Tensor,
        coefficients: Tensor,
        block: PackedBlock,
        graph: Graph,
        direction: Tensor,
    ) -> tuple[Tensor, Tensor]:
        species, topology, geometry = graph.species, graph.topology, graph.geometry
        members, atoms = x.shape[:2]
        kept = [
            x.new_empty(members, atoms, rows, block.channels)
            for rows in (block.components_in, block.table.rows, block.rows_before_gate, block.components_out)
            for _ in range(2)
        ]
        call(
            _library(block).dual_forward,
            [
                *(x, tangent, *kept, linear, update),
                *_edge_arguments(coefficients, geometry, direction),
                *(species, topology.row, topology.sender),
            ],
            [members, atoms, len(topology.sender), coefficients.shape[1]],
        )
        *kept, out, out_tangent = kept
        ctx.save_for_backward(x, tangent, coefficients, *kept)
        ctx.rest = (block, graph, direction)
        return out, out_tangent

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_out: Tensor, by_tangent: Tensor) -> tuple[Tensor | None, ...]:
        x, tangent, coefficients, *kept = ctx.saved_tensors
        block, graph, direction = ctx.rest
        species, topology, geometry = graph.species, graph.topology, graph.geometry
        h, _, messages, _, before, _ = kept
        members, threads = len(x), torch.get_num_threads()
        # Each thread at work on a member sums the coefficients' gradient apart: the order of the
        # sum, and so the result, depends on nothing but the number of threads.
        slabs = threads // gcd(threads, members)
        scratch = [torch.empty_like(t) for t in (before, before, messages, messages, h, h)]
        by_x, by_x_tangent = torch.empty_like(x), torch.empty_like(x)
        by_linear, by_update = torch.empty_like(block.linear), torch.empty_like(block.update)
        by_coefficients = coefficients.new_empty(members, slabs, *coefficients.shape[1:])
        call(
            _library(block).dual_backward,
            [
                *(by_out.contiguous(), by_tangent.contiguous(), x, tangent, *kept, *scratch),
                *(by_x, by_x_tangent, by_linear, by_update, by_coefficients),
                *(block.linear_transposed, block.update_transposed),
                *_edge_arguments(coefficients, geometry, direction),
                *(species, topology.column, topology.order, topology.receiver),
            ],
            [members, x.shape[1], len(topology.sender), coefficients.shape[1], slabs],
        )
        return by_x, by_x_tangent, by_linear, by_update, by_coefficients.sum(1), None, None, None


def _edge_arguments(coefficients: Tensor, geometry: Geometry, direction: Tensor) -> list[Tensor | None]:
    return [
        *(geometry.harmonics, geometry.basis, coefficients, geometry.interval),
        *(geometry.harmonics_slope, geometry.basis_slope, geometry.unit, direction),
    ]


def _library(block: PackedBlock) -> Any:
    return block_library("dual", block.table, block.channels, block.n_species, block.linear.dtype)
