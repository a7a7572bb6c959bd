"""One interaction block of NequIP: linear, convolution, products (where wanted), self-connection, gate."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from potential.nequip.convolution import Convolution
from potential.nequip.graph import EdgeTensors
from potential.nequip.irreps import SCALAR, Irrep, PathTable, feature_irreps
from potential.nequip.linear import Generators, silu, tanh
from potential.nequip.mixing import IrrepsLinear, Update
from potential.nequip.model_config import ModelConfig
from potential.nequip.products import Correlation, Products
from potential.nequip.radial import RadialNetwork


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
