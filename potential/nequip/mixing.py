"""Linear maps that mix the channels of each irrep: within a feature, and of the rows of several paths."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.nequip.irreps import Irrep, dimension
from potential.nequip.linear import Generators, normal


class IrrepsLinear(torch.nn.Module):
    """A linear map of the channels for each irrep (equivariant by Schur's lemma).

    One batched matrix product over all components: those of an irrep share its matrix.
    """

    irrep_of_component: Tensor

    def __init__(self, generators: Generators, irreps: tuple[Irrep, ...], channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(normal(generators, len(irreps), channels, channels))
        self.scale = channels**-0.5
        dims = torch.tensor([ir.dim for ir in irreps])
        index = torch.repeat_interleave(torch.arange(len(irreps)), dims)
        self.register_buffer("irrep_of_component", index, persistent=False)

    def forward(
        self, x: Float[Tensor, "members atoms components channels"]
    ) -> Float[Tensor, "members atoms components channels"]:
        members, _, components, _ = x.shape
        weight = (self.weight * self.scale).index_select(1, self.irrep_of_component).flatten(0, 1)
        y = torch.bmm(x.transpose(1, 2).flatten(0, 1), weight)
        y = y.view(members, components, *y.shape[1:])
        return y.transpose(1, 2)


class Update(torch.nn.Module):
    """Mix the rows of all paths and add the species-dependent self-connection.

    For each target irrep, one matrix acts on [rows of each path | features of this atom, in the
    slot of its species], so both are a single matrix product.

    Args:
        paths: for each target, how many paths end in it.
        own: irreps of the atom's features that a target takes over; empty without a self-connection.
        terms: how many summands of unit variance are in a row: its variance.
    """

    def __init__(
        self,
        generators: Generators,
        paths: dict[Irrep, int],
        widths: dict[Irrep, int],
        channels: int,
        *,
        terms: float,
        own: tuple[Irrep, ...] = (),
        n_species: int = 0,
    ) -> None:
        super().__init__()
        self.targets = tuple(paths)
        self._sizes = [n * ir.dim for ir, n in paths.items()]
        self._own = {ir: dimension(own[:i]) for i, ir in enumerate(own)}
        self.weights = torch.nn.ParameterList()
        for i, (target, n_paths) in enumerate(paths.items()):
            n_self = n_species if target in own else 0
            rows = [normal(generators, n_paths * channels, widths[target])]
            scale = [_column(n_paths * channels, (n_paths * channels * terms) ** -0.5)]
            if n_self:
                rows.append(normal(generators, n_self * channels, widths[target]))
                scale.append(_column(n_self * channels, channels**-0.5))
            self.weights.append(torch.nn.Parameter(torch.cat(rows, dim=1)))
            self.register_buffer(f"scale_{i}", torch.cat(scale), persistent=False)

    def scaled_weights(self) -> list[Float[Tensor, "members rows width"]]:
        """The matrix of each target: rows of its paths, then of its self-connection by species."""
        return [weight * self.get_buffer(f"scale_{i}") for i, weight in enumerate(self.weights)]

    def forward(
        self,
        rows: Float[Tensor, "members atoms rows channels"],
        features: Float[Tensor, "members atoms components channels"],
        species: Float[Tensor, "atoms species"],
    ) -> list[Float[Tensor, "members atoms k width"]]:
        """The rows run over the targets, then over the paths into each, then over the components k."""
        members, atoms, _, channels = rows.shape
        out = []
        split = rows.split(self._sizes, dim=2)
        for target, mine, weight in zip(self.targets, split, self.scaled_weights(), strict=True):
            k = target.dim
            x = mine.view(members, atoms, -1, k, channels).transpose(2, 3).flatten(3)
            if target in self._own:
                own = features.narrow(2, self._own[target], k)
                slots = own.unsqueeze(3) * species.view(1, atoms, 1, -1, 1)
                x = torch.cat([x, slots.flatten(3)], dim=3)
            out.append(torch.bmm(x.flatten(1, 2), weight).view(members, atoms, k, -1))
        return out


def _column(rows: int, value: float) -> Float64[Tensor, "rows 1"]:
    return torch.full((rows, 1), value, dtype=torch.float64)
