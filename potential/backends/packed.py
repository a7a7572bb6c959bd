"""The weights of a committee as compiled blocks want them, differentiable by the model's parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from potential.nequip.interaction import Interaction
from potential.nequip.irreps import PathTable, dimension
from potential.nequip.model import NequIP


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBlock:
    """Scaled matrices of one interaction block (layout: `potential.kernels.block`), and its splines.

    Attributes:
        linear, update: the matrices, flat.
        linear_transposed, update_transposed: each matrix transposed, at the same place; no gradient.
        coefficients: of the radial splines, for every path and channel.
    """

    table: PathTable
    channels: int
    n_species: int
    linear: Float[Tensor, "members linear"]
    update: Float[Tensor, "members update"]
    linear_transposed: Float[Tensor, "members linear"]
    update_transposed: Float[Tensor, "members update"]
    coefficients: Float[Tensor, "members coefficients columns"]

    @classmethod
    def of(cls, block: Interaction, n_species: int) -> PackedBlock:
        linear = block.linear.weight * block.linear.scale
        matrices = [w.unflatten(1, (-1, block.channels)) for w in block.update.scaled_weights()]
        return cls(
            table=block.table,
            channels=block.channels,
            n_species=n_species,
            linear=linear.flatten(1),
            update=torch.cat([w.flatten(1) for w in matrices], 1),
            linear_transposed=linear.detach().transpose(2, 3).flatten(1),
            update_transposed=torch.cat([w.detach().transpose(2, 3).flatten(1) for w in matrices], 1),
            coefficients=block.radial.coefficients().contiguous(),
        )

    @property
    def components_in(self) -> int:
        return dimension(self.table.irreps_in)

    @property
    def components_out(self) -> int:
        return dimension(self.table.irreps_out)

    @property
    def rows_before_gate(self) -> int:
        """Output components, and a gate for each irrep with l > 0."""
        return self.components_out + sum(ir.l > 0 for ir in self.table.irreps_out)


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedWeights:
    """All weights that an energy depends on, but the constant shifts."""

    embedding: Float[Tensor, "members species channels"]
    blocks: tuple[PackedBlock, ...]
    readout: Float[Tensor, "members channels"]
    scales: Float[Tensor, "species"]

    @classmethod
    def of(cls, model: NequIP) -> PackedWeights:
        return cls(
            embedding=model.embedding,
            blocks=tuple(PackedBlock.of(block, len(model.numbers)) for block in model.interactions()),
            readout=(model.readout.weight * model.readout.scale).squeeze(2),
            scales=model.energy_scales.to(model.dtype),
        )
