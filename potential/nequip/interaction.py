"""One interaction block of NequIP: linear, convolution, self-connection, gate."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.nequip.convolution import Convolution
from potential.nequip.graph import EdgeTensors
from potential.nequip.irreps import SCALAR, Irrep, PathTable
from potential.nequip.linear import Generators, normal, silu, tanh
from potential.nequip.model_config import ModelConfig
from potential.nequip.radial import RadialNetwork


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
    """Mix the aggregated messages of all paths and add the species-dependent self-connection.

    For each target irrep, one matrix acts on [messages of each path | features of this atom, in the
    slot of its species], so both are a single matrix product.
    """

    def __init__(
        self,
        generators: Generators,
        table: PathTable,
        widths: dict[Irrep, int],
        channels: int,
        n_species: int,
        avg_num_neighbors: float,
    ) -> None:
        super().__init__()
        self.table = table
        self.targets = table.irreps_out
        self.weights = torch.nn.ParameterList()
        for i, target in enumerate(self.targets):
            n_paths = len(table.paths_into(target))
            n_self = n_species if target in table.irreps_in else 0
            rows = [normal(generators, n_paths * channels, widths[target])]
            scale = [_column(n_paths * channels, (n_paths * channels * avg_num_neighbors) ** -0.5)]
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
        aggregated: Float[Tensor, "members atoms rows channels"],
        features: Float[Tensor, "members atoms components channels"],
        species: Float[Tensor, "atoms species"],
    ) -> list[Float[Tensor, "members atoms k width"]]:
        members, atoms, _, channels = features.shape
        own = dict(
            zip(
                self.table.irreps_in,
                features.split([ir.dim for ir in self.table.irreps_in], dim=2),
                strict=True,
            )
        )
        sizes = [len(self.table.paths_into(ir)) * ir.dim for ir in self.targets]
        out = []
        split = aggregated.split(sizes, dim=2)
        for target, messages, weight in zip(self.targets, split, self.scaled_weights(), strict=True):
            k = target.dim
            x = messages.view(members, atoms, -1, k, channels).transpose(2, 3).flatten(3)
            if target in own:
                slots = own[target].unsqueeze(3) * species.view(1, atoms, 1, -1, 1)
                x = torch.cat([x, slots.flatten(3)], dim=3)
            out.append(torch.bmm(x.flatten(1, 2), weight).view(members, atoms, k, -1))
        return out


class Interaction(torch.nn.Module):
    """NequIP's interaction block (Batzner et al. 2022, Fig. 1).

    features -> linear -> convolution -> (linear + self-connection) -> gate. The gate passes even
    scalars through SiLU, odd scalars through tanh, and multiplies every other irrep by SiLU of a
    scalar of its own (Weiler et al. 2018).
    """

    def __init__(
        self,
        generators: Generators,
        *,
        irreps_in: tuple[Irrep, ...],
        wanted: tuple[Irrep, ...],
        n_species: int,
        avg_num_neighbors: float,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.table = PathTable.of(irreps_in, config.l_max, wanted)
        self.irreps_out = self.table.irreps_out
        self.channels = channels = config.num_features
        self.gated = tuple(ir for ir in self.irreps_out if ir.l > 0)
        widths = dict.fromkeys(self.irreps_out, channels)
        widths[SCALAR] = channels * (1 + len(self.gated))
        n_paths = len(self.table.paths)
        self.linear = IrrepsLinear(generators, irreps_in, channels)
        self.radial = RadialNetwork(generators, config, n_paths * channels)
        self.convolution: torch.nn.Module = Convolution(self.table)
        self.update = Update(generators, self.table, widths, channels, n_species, avg_num_neighbors)

    def forward(
        self,
        features: Float[Tensor, "members atoms components channels"],
        species: Float[Tensor, "atoms species"],
        edges: EdgeTensors,
    ) -> Float[Tensor, "members atoms components_out channels"]:
        weights = self.radial(edges.basis, edges.interval).unflatten(2, (-1, self.channels))
        aggregated = self.convolution(self.linear(features), edges.harmonics, weights, edges.topology)
        return self._gate(self.update(aggregated, features, species))

    def _gate(self, parts: list[Tensor]) -> Float[Tensor, "members atoms components channels"]:
        values = dict(zip(self.irreps_out, parts, strict=True))
        scalar, *gates = values[SCALAR].split(self.channels, dim=3)
        gate = dict(zip(self.gated, gates, strict=True))
        out = []
        for ir, value in values.items():
            if ir.is_scalar:
                out.append(silu(scalar))
            elif ir.l == 0:
                out.append(tanh(value))
            else:
                out.append(silu(gate[ir]) * value)
        return torch.cat(out, dim=2)


def _column(rows: int, value: float) -> Float64[Tensor, "rows 1"]:
    return torch.full((rows, 1), value, dtype=torch.float64)
