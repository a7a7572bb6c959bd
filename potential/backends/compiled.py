"""A committee in compiled blocks: energies and slopes without autograd, weight gradients in dual numbers.

What evaluation needs is taken from a `NequIP` once: scaled weight matrices, and the spline coefficients
in place of the radial network. Each interaction block is one call of generated C++ in the forward pass
and one in the backward pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from potential.backends.backend import Backend, EnergyAndSlope, Loss
from potential.backends.dual import weighted_energy_and_derivative
from potential.backends.packed import PackedWeights, layouts_of
from potential.kernels.arguments import Packed
from potential.kernels.block import block_functions, pack_graph
from potential.nequip.graph import Graph
from potential.nequip.model import NequIP


@final
class Compiled(Backend):
    """Compiled interaction blocks, for the CPU and `radial: spline`.

    Raises:
        CompilerError: without a working compiler.
    """

    name = "compiled blocks"

    def __init__(self, model: NequIP) -> None:
        self.model = model
        self._layouts = layouts_of(model)
        self.refresh()

    def refresh(self) -> None:
        with torch.no_grad():
            weights = PackedWeights.of(self.model, self._layouts)
            self._blocks = CompiledBlocks(replace(weights, embedding=weights.embedding.clone()))

    def energy_and_slope(self, graph: Graph) -> EnergyAndSlope:
        return self._blocks.energy_and_slope(graph, pack_graph(graph))

    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        return self._blocks.features(graph)

    def add_gradient(self, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
        weights, packed = PackedWeights.of(self.model, self._layouts), pack_graph(graph)
        with torch.no_grad():
            energy, slope = CompiledBlocks(weights).energy_and_slope(graph, packed)
        energy.requires_grad_(), slope.requires_grad_()
        losses = loss(energy, slope)
        by_energy, by_slope = torch.autograd.grad(losses.sum(), (energy, slope))
        weighted_energy_and_derivative(weights, graph.species, packed, by_energy, by_slope).backward()
        return losses.detach()


class _Kept(NamedTuple):
    """What a block's forward pass leaves for its backward pass."""

    features: Tensor
    factors: Tensor
    before_gate: Tensor


class CompiledBlocks:
    """Energies and slopes with fixed weights.

    Raises:
        CompilerError: without a working compiler.
    """

    def __init__(self, weights: PackedWeights) -> None:
        self.weights = weights
        self._passes = [block_functions("evaluate", b.layout, b.linear.dtype) for b in weights.blocks]

    def energy_and_slope(self, graph: Graph, packed: Packed) -> EnergyAndSlope:
        """Of a graph, given as compiled functions want it, too."""
        features, kept = self._forward(graph.species, packed)
        readout = self.weights.readout.detach()
        scale = self.weights.scales.index_select(0, graph.species)
        energy = torch.bmm(features, readout.unsqueeze(2)).squeeze(2) * scale

        members, edges = len(readout), len(graph.topology.sender)
        slope = features.new_zeros(members, edges, 3)
        cotangent = scale.view(1, -1, 1, 1) * readout[:, None, None, :]
        for layer in reversed(range(len(kept))):
            block, (h, factors, before) = self.weights.blocks[layer], kept[layer]
            atoms = h.shape[1]
            into = torch.empty_like(h) if layer > 0 else None
            messages = h.new_empty(members, atoms, block.layout.rows, block.layout.channels)
            self._passes[layer].backward(
                packed,
                block.arguments,
                dout=cotangent,
                factors=factors,
                pre=before,
                h=h,
                g=messages,
                dx=into,
                dd=slope,
            )
            if into is not None:
                cotangent = into
        return EnergyAndSlope(energy, slope)

    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        return self._forward(graph.species, pack_graph(graph))[0]

    def _forward(self, species: Tensor, graph: Packed) -> tuple[Tensor, list[_Kept]]:
        x = self.weights.embedding.detach().index_select(1, species).unsqueeze(2)
        kept = []
        for block, passes in zip(self.weights.blocks, self._passes, strict=True):
            members, atoms = x.shape[:2]
            layout = block.layout
            h, factors, before, out = (
                x.new_empty(members, atoms, rows, layout.channels)
                for rows in (
                    layout.components_in,
                    layout.factors,
                    layout.rows_before_gate,
                    layout.components_out,
                )
            )
            passes.forward(graph, block.arguments, x=x, h=h, factors=factors, pre=before, out=out)
            kept.append(_Kept(h, factors, before))
            x = out
        return x.squeeze(2), kept
