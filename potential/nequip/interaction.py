"""One interaction block of NequIP: linear, convolution, self-connection, gate."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.nequip.convolution import Convolution
from potential.nequip.graph import EdgeTensors
from potential.nequip.irreps import SCALAR, Irrep, PathTable, dimension, feature_irreps
from potential.nequip.linear import Generators, normal, silu, tanh
from potential.nequip.model_config import ModelConfig
from potential.nequip.products import Correlation, Product
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


class Products(torch.nn.Module):
    """Rows of an atom's messages a, of a * a and of mix(a * a) * a (`potential.nequip.products`)."""

    def __init__(
        self,
        generators: Generators,
        correlation: Correlation,
        paths: dict[Irrep, int],
        channels: int,
        avg_num_neighbors: float,
    ) -> None:
        super().__init__()
        self.correlation = correlation
        widths = dict.fromkeys(correlation.inner, channels)
        self.mix = Update(generators, paths, widths, channels, terms=avg_num_neighbors)
        self.square = Product(correlation.square)
        self.mix_square: Update | None = None
        self.cube: Product | None = None
        if correlation.cube is not None:
            squares = {ir: correlation.square.count(ir) for ir in correlation.inner}
            self.mix_square = Update(generators, squares, widths, channels, terms=1.0)
            self.cube = Product(correlation.cube)

    def forward(
        self,
        aggregated: Float[Tensor, "members atoms rows channels"],
        features: Float[Tensor, "members atoms components channels"],
        species: Float[Tensor, "atoms species"],
    ) -> Float[Tensor, "members atoms rows_out channels"]:
        """Sorted by target, then a, a * a, a * a * a."""
        a = self.mix(aggregated, features, species)
        first = torch.cat(a, 2)
        square = self.square(first, first)
        orders = [dict(zip(self.correlation.inner, a, strict=True)), square]
        if self.mix_square is not None and self.cube is not None:
            mixed = self.mix_square(torch.cat([*square.values()], 2), features, species)
            orders.append(self.cube(torch.cat(mixed, 2), first))
        return torch.cat(
            [order[ir] for ir in self.correlation.irreps_out for order in orders if ir in order], 2
        )


class Interaction(torch.nn.Module):
    """NequIP's interaction block (Batzner et al. 2022, Fig. 1).

    features -> linear -> convolution -> (linear + self-connection) -> gate. The gate passes even
    scalars through SiLU, odd scalars through tanh, and multiplies every other irrep by SiLU of a
    scalar of its own (Weiler et al. 2018). With a correlation beyond 1 the messages are multiplied with
    themselves after the convolution, as MACE does.
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
        order, self.channels = config.correlation, config.num_features
        inner = wanted if order == 1 else feature_irreps(config.l_max, config.parity)
        self.table = PathTable.of(irreps_in, config.l_max, inner)
        paths = {ir: len(self.table.paths_into(ir)) for ir in self.table.irreps_out}
        self.correlation = None if order == 1 else Correlation.of(order, self.table.irreps_out, wanted)
        self.irreps_out = (self.correlation or self.table).irreps_out
        self.gated = tuple(ir for ir in self.irreps_out if ir.l > 0)
        channels = self.channels
        widths = dict.fromkeys(self.irreps_out, channels)
        widths[SCALAR] = channels * (1 + len(self.gated))
        self.linear = IrrepsLinear(generators, irreps_in, channels)
        self.radial = RadialNetwork(generators, config, len(self.table.paths) * channels)
        self.convolution: torch.nn.Module = Convolution(self.table)
        self.products: Products | None = None
        terms = avg_num_neighbors
        if self.correlation is not None:
            self.products = Products(generators, self.correlation, paths, channels, avg_num_neighbors)
            paths, terms = {ir: sum(self.correlation.paths(ir)) for ir in self.irreps_out}, 1.0
        self.update = Update(
            generators, paths, widths, channels, terms=terms, own=irreps_in, n_species=n_species
        )

    def forward(
        self,
        features: Float[Tensor, "members atoms components channels"],
        species: Float[Tensor, "atoms species"],
        edges: EdgeTensors,
    ) -> Float[Tensor, "members atoms components_out channels"]:
        weights = self.radial(edges.basis, edges.interval).unflatten(2, (-1, self.channels))
        aggregated = self.convolution(self.linear(features), edges.harmonics, weights, edges.topology)
        if self.products is not None:
            aggregated = self.products(aggregated, features, species)
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
