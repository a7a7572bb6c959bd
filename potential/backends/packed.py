"""The weights of a committee as compiled blocks want them, differentiable by the model's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from potential.kernels.arguments import Packed
from potential.kernels.block import weights_packer
from potential.kernels.layout import BlockLayout, Matrices
from potential.nequip.interaction import Interaction
from potential.nequip.mixing import Update
from potential.nequip.model import NequIP


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBlock:
    """Scaled matrices of one interaction block, where `layout` puts them, and its splines.

    Attributes:
        linear, update: the matrices, flat.
        linear_transposed, update_transposed: each matrix transposed, at the same place; no gradient.
        coefficients: of the radial splines, for every path and channel.
    """

    layout: BlockLayout
    linear: Float[Tensor, "members linear"]
    update: Float[Tensor, "members update"]
    linear_transposed: Float[Tensor, "members linear"]
    update_transposed: Float[Tensor, "members update"]
    coefficients: Float[Tensor, "members knots columns"]

    @classmethod
    def of(cls, block: Interaction, layout: BlockLayout) -> PackedBlock:
        linear = _placed([block.linear.weight * block.linear.scale], [layout.linear])
        groups = [group for update in layout.updates for group in update.groups]
        update = _placed([w for part in _updates(block) for w in part.scaled_weights()], groups)
        return cls(
            layout=layout,
            linear=_flat(linear),
            update=_flat(update),
            linear_transposed=_flat([w.detach().mT for w in linear]),
            update_transposed=_flat([w.detach().mT for w in update]),
            coefficients=block.radial.coefficients().contiguous(),
        )

    @cached_property
    def arguments(self) -> Packed:
        """What compiled functions want of it."""
        members, knots, _ = self.coefficients.shape
        tensors = {
            "linear_weights": self.linear,
            "update_weights": self.update,
            "linear_matrices": self.linear_transposed,
            "update_matrices": self.update_transposed,
            "coefficients": self.coefficients,
        }
        return weights_packer(self.layout, self.linear.dtype)({"members": members, "knots": knots}, tensors)


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedWeights:
    """All weights that an energy depends on, but the constant shifts."""

    embedding: Float[Tensor, "members species channels"]
    blocks: tuple[PackedBlock, ...]
    readout: Float[Tensor, "members channels"]
    scales: Float[Tensor, "species"]

    @classmethod
    def of(cls, model: NequIP, layouts: Sequence[BlockLayout]) -> PackedWeights:
        """The weights as they are now; `layouts` are those of the model (`layouts_of`), made once."""
        return cls(
            embedding=model.embedding,
            blocks=tuple(
                PackedBlock.of(block, layout)
                for block, layout in zip(model.interactions(), layouts, strict=True)
            ),
            readout=(model.readout.weight * model.readout.scale).squeeze(2),
            scales=model.energy_scales.to(model.dtype),
        )


def layouts_of(model: NequIP) -> tuple[BlockLayout, ...]:
    """Of its interaction blocks."""
    n_species = len(model.numbers)
    return tuple(
        BlockLayout(block.table, block.channels, n_species, block.correlation)
        for block in model.interactions()
    )


def _updates(block: Interaction) -> list[Update]:
    """In the order of `BlockLayout.updates`."""
    products = block.products
    if products is None:
        return [block.update]
    inner = [products.mix] if products.mix_square is None else [products.mix, products.mix_square]
    return [*inner, block.update]


def _placed(
    weights: Sequence[Float[Tensor, "members ..."]], places: Sequence[Matrices]
) -> list[Float[Tensor, "members _ _ _"]]:
    """The weights as the matrices that stand at `places`, one place after the other."""
    return [w.reshape(len(w), p.count, p.rows, p.columns) for w, p in zip(weights, places, strict=True)]


def _flat(
    matrices: Sequence[Float[Tensor, "members _ _ _"]],
) -> Float[Tensor, "members numbers"]:
    return torch.cat([w.flatten(1) for w in matrices], 1)
