"""A trained committee with fixed weights, compiled: energies and slopes without autograd.

`freeze` takes from a `NequIP` what evaluation needs: scaled weight matrices, and the spline
coefficients in place of the radial network. Each interaction block is one call of generated C++ in
the forward pass and one in the backward pass.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.geometry import Geometry
from potential.graph import Topology
from potential.interaction import Interaction
from potential.irreps import dimension
from potential.kernels.block import block_source
from potential.kernels.build import CompilerError, load, warn_once
from potential.nequip import NequIP


def freeze(model: NequIP) -> FrozenNequIP | None:
    """The compiled form of `model` as it is now; later changes of its weights do not reach it.

    None where there is none: for another device than the CPU, for `radial: mlp`, and (warned once)
    without a C++ compiler.
    """
    if model.device.type != "cpu" or model.config.radial != "spline":
        return None
    try:
        return FrozenNequIP(model)
    except CompilerError as error:
        warn_once(f"evaluating with the slower uncompiled model: {error}")
        return None


class FrozenNequIP:
    """Energy of each atom and its slopes by the edges, for every member."""

    def __init__(self, model: NequIP) -> None:
        with torch.no_grad():
            self.embedding = model.embedding.detach().clone()
            self.blocks = [_Block.of(block, len(model.numbers)) for block in model.interactions()]
            self.readout = (model.readout.weight * model.readout.scale).squeeze(2)
            self.scales = model.energy_scales.to(model.dtype)

    def energy_and_slope(
        self, species: Int[Tensor, "atoms"], topology: Topology, geometry: Geometry
    ) -> tuple[Float[Tensor, "members atoms"], Float[Tensor, "members edges 3"]]:
        """Interaction energy of each atom, eV, and dE/dd of each edge, eV/Angstrom."""
        features, kept = self._forward(species, topology, geometry)
        scale = self.scales.index_select(0, species)
        energy = torch.einsum("gau,gu->ga", features, self.readout) * scale

        members, edges = len(self.embedding), len(topology.sender)
        by_harmonics = features.new_zeros(members, edges, geometry.harmonics.shape[1])
        by_distance = features.new_zeros(members, edges)
        cotangent = (scale.view(1, -1, 1, 1) * self.readout[:, None, None, :]).contiguous()
        for block, saved in zip(reversed(self.blocks), reversed(kept), strict=True):
            first = block is self.blocks[0]
            cotangent = block.backward(
                cotangent, saved, species, topology, geometry, by_harmonics, by_distance, first=first
            )
        return energy, geometry.slope_of(by_harmonics, by_distance)

    def features(
        self, species: Int[Tensor, "atoms"], topology: Topology, geometry: Geometry
    ) -> Float[Tensor, "members atoms channels"]:
        """Scalar features of the last interaction block; the readout is linear in them."""
        return self._forward(species, topology, geometry)[0]

    def _forward(
        self, species: Tensor, topology: Topology, geometry: Geometry
    ) -> tuple[Tensor, list[list[Tensor]]]:
        x = self.embedding.index_select(1, species).unsqueeze(2)
        kept = []
        for block in self.blocks:
            x, *saved = block.forward(x, species, topology, geometry)
            kept.append(saved)
        return x.squeeze(2), kept


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Packed weights of one interaction block (layout: `potential.kernels.block`), and its code."""

    library: ctypes.CDLL
    channels: int
    components_in: int
    components_out: int
    rows: int
    rows_before_gate: int
    linear: Float[Tensor, "members numbers"]
    linear_transposed: Float[Tensor, "members numbers"]
    update: Float[Tensor, "members update_numbers"]
    update_transposed: Float[Tensor, "members update_numbers"]
    coefficients: Float[Tensor, "members coefficients columns"]

    @classmethod
    def of(cls, block: Interaction, n_species: int) -> _Block:
        linear = block.linear.weight * block.linear.scale
        matrices = [weight.unflatten(1, (-1, block.channels)) for weight in block.update.scaled_weights()]
        names = {torch.float32: "float", torch.float64: "double"}
        source = block_source(block.table, block.channels, n_species, names[linear.dtype])
        return cls(
            library=load(source),
            channels=block.channels,
            components_in=dimension(block.table.irreps_in),
            components_out=dimension(block.irreps_out),
            rows=block.table.rows,
            rows_before_gate=dimension(block.irreps_out) + len(block.gated),
            linear=linear.flatten(1),
            linear_transposed=linear.transpose(2, 3).flatten(1),
            update=torch.cat([w.flatten(1) for w in matrices], 1),
            update_transposed=torch.cat([w.transpose(2, 3).flatten(1) for w in matrices], 1),
            coefficients=block.radial.coefficients().contiguous(),
        )

    def forward(
        self, x: Tensor, species: Tensor, topology: Topology, geometry: Geometry
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(features out, features after the linear map, rows before the gate)."""
        members, atoms = x.shape[:2]
        h = torch.empty_like(x)
        before = x.new_empty(members, atoms, self.rows_before_gate, self.channels)
        out = x.new_empty(members, atoms, self.components_out, self.channels)
        _call(
            self.library.block_forward,
            [x, h, before, out, self.linear, self.update, geometry.harmonics, geometry.basis],
            [self.coefficients, geometry.interval, species, topology.row, topology.sender],
            [members, atoms, self.coefficients.shape[1]],
        )
        return out, h, before

    def backward(
        self,
        cotangent: Tensor,
        saved: list[Tensor],
        species: Tensor,
        topology: Topology,
        geometry: Geometry,
        by_harmonics: Tensor,
        by_distance: Tensor,
        *,
        first: bool,
    ) -> Tensor:
        """Cotangent of the features in (undefined for the `first` block); adds to those of the edges."""
        h, before = saved
        members, atoms = h.shape[:2]
        messages = h.new_empty(members, atoms, self.rows, self.channels)
        into = torch.empty_like(h)
        _call(
            self.library.block_backward,
            [cotangent, before, h, messages, None if first else into, by_harmonics, by_distance],
            [self.linear_transposed, self.update_transposed, geometry.harmonics, geometry.basis],
            [geometry.basis_slope, self.coefficients, geometry.interval, species],
            [topology.column, topology.order, topology.receiver],
            [members, atoms, len(topology.sender), self.coefficients.shape[1]],
        )
        return into


def _call(function: Any, *arguments: list) -> None:
    """Pointers for tensors, int64 for numbers, and at last the number of threads."""
    flat = [
        ctypes.c_int64(a) if isinstance(a, int) else ctypes.c_void_p(None if a is None else a.data_ptr())
        for part in arguments
        for a in part
    ]
    function.restype = None
    function(*flat, ctypes.c_int(torch.get_num_threads()))
