"""A committee with fixed weights, compiled: energies and slopes without autograd.

`freeze` takes from a `NequIP` what evaluation needs: scaled weight matrices, and the spline
coefficients in place of the radial network. Each interaction block is one call of generated C++ in
the forward pass and one in the backward pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.backends.packed import PackedWeights
from potential.kernels.block import block_library, call
from potential.kernels.build import CompilerError, warn_once
from potential.nequip.geometry import Geometry
from potential.nequip.graph import Topology
from potential.nequip.model import NequIP


def freeze(model: NequIP) -> FrozenNequIP | None:
    """The compiled form of `model` as it is now; later changes of its weights do not reach it.

    None where there is none: for another device than the CPU, for `radial: mlp`, and (warned once)
    without a C++ compiler.
    """
    if model.device.type != "cpu" or model.config.radial != "spline":
        return None
    try:
        with torch.no_grad():
            weights = PackedWeights.of(model)
            return FrozenNequIP(replace(weights, embedding=weights.embedding.clone()))
    except CompilerError as error:
        warn_once(f"evaluating with the slower uncompiled model: {error}")
        return None


class _Kept(NamedTuple):
    """What a block's forward pass leaves for its backward pass."""

    features: Tensor
    before_gate: Tensor


class FrozenNequIP:
    """Energy of each atom and its slopes by the edges, for every member.

    Raises:
        CompilerError: without a working compiler.
    """

    def __init__(self, weights: PackedWeights) -> None:
        self.weights = weights
        self._libraries = [
            block_library("evaluate", b.table, b.channels, b.n_species, b.linear.dtype)
            for b in weights.blocks
        ]

    def energy_and_slope(
        self, species: Int[Tensor, "atoms"], topology: Topology, geometry: Geometry
    ) -> tuple[Float[Tensor, "members atoms"], Float[Tensor, "members edges 3"]]:
        """Interaction energy of each atom, eV, and dE/dd of each edge, eV/Angstrom."""
        features, kept = self._forward(species, topology, geometry)
        readout = self.weights.readout.detach()
        scale = self.weights.scales.index_select(0, species)
        energy = torch.bmm(features, readout.unsqueeze(2)).squeeze(2) * scale

        members, edges = len(readout), len(topology.sender)
        slope = features.new_zeros(members, edges, 3)
        cotangent = scale.view(1, -1, 1, 1) * readout[:, None, None, :]
        for layer in reversed(range(len(kept))):
            block, (h, before) = self.weights.blocks[layer], kept[layer]
            atoms = h.shape[1]
            into = torch.empty_like(h) if layer > 0 else None
            messages = h.new_empty(members, atoms, block.table.rows, block.channels)
            call(
                self._libraries[layer].block_backward,
                [
                    *(cotangent, before, h, messages, into, slope),
                    *(block.linear_transposed, block.update_transposed),
                    *(geometry.harmonics, geometry.basis, block.coefficients, geometry.interval),
                    *(geometry.harmonics_slope, geometry.basis_slope, geometry.unit, species),
                    *(topology.column, topology.order, topology.receiver),
                ],
                [members, atoms, edges, block.coefficients.shape[1]],
            )
            if into is not None:
                cotangent = into
        return energy, slope

    def features(
        self, species: Int[Tensor, "atoms"], topology: Topology, geometry: Geometry
    ) -> Float[Tensor, "members atoms channels"]:
        """Scalar features of the last interaction block; the readout is linear in them."""
        return self._forward(species, topology, geometry)[0]

    def _forward(self, species: Tensor, topology: Topology, geometry: Geometry) -> tuple[Tensor, list[_Kept]]:
        x = self.weights.embedding.detach().index_select(1, species).unsqueeze(2)
        kept = []
        for block, library in zip(self.weights.blocks, self._libraries, strict=True):
            members, atoms = x.shape[:2]
            h, before, out = (
                x.new_empty(members, atoms, rows, block.channels)
                for rows in (block.components_in, block.rows_before_gate, block.components_out)
            )
            call(
                library.block_forward,
                [
                    *(x, h, before, out, block.linear, block.update),
                    *(geometry.harmonics, geometry.basis, block.coefficients, geometry.interval),
                    *(species, topology.row, topology.sender),
                ],
                [members, atoms, block.coefficients.shape[1]],
            )
            kept.append(_Kept(h, before))
            x = out
        return x.squeeze(2), kept
