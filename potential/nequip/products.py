"""Products of an atom's messages with themselves: many-body features within one block.

MACE's idea (Batatia et al., NeurIPS 2022, Eq. 10): a sum over neighbours, multiplied by itself, sums over
pairs of neighbours, and over triples when multiplied again, at a cost for each atom and none for each edge.
For each channel, with * the Clebsch-Gordan product along every path:

  a = mix(messages),   a2 = a * a,   a3 = mix(a2) * a

The update of the block then mixes [a | a2 | a3] in the place of the messages. MACE symmetrises a * a * a
first, and keeps the paths that are left; here the mixing between the two products is learned instead.

This is the plain torch form, for every device; C++ has its own (`potential/kernels/block.h`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from potential.nequip.irreps import Irrep, dimension
from potential.nequip.linear import Generators
from potential.nequip.mixing import Update


@dataclass(frozen=True)
class Term:
    """out[row] += coefficient left[left] right[right]."""

    row: int
    left: int
    right: int
    coefficient: float


@dataclass(frozen=True)
class Pair:
    """One path: left x right -> target."""

    left: Irrep
    right: Irrep
    target: Irrep


@dataclass(frozen=True)
class ProductTable:
    """All couplings of two features of an atom.

    Attributes:
        irreps: of the features on both sides.
        pairs: sorted by target.
    """

    irreps: tuple[Irrep, ...]
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, irreps: tuple[Irrep, ...], wanted: tuple[Irrep, ...], *, square: bool) -> ProductTable:
        """The paths into `wanted`.

        Args:
            square: both sides are the same numbers: each pair of irreps once, and no antisymmetric path.
        """
        pairs = [
            Pair(left, right, target)
            for target in wanted
            for i, left in enumerate(irreps)
            for right in (irreps[i:] if square else irreps)
            if abs(left.l - right.l) <= target.l <= left.l + right.l
            and left.p * right.p == target.p
            and not (square and left == right and target.l % 2)
        ]
        return cls(irreps, tuple(pairs))

    def count(self, target: Irrep) -> int:
        """Paths into `target`."""
        return sum(pair.target == target for pair in self.pairs)

    @cached_property
    def rows(self) -> int:
        return sum(pair.target.dim for pair in self.pairs)

    @cached_property
    def targets(self) -> tuple[Irrep, ...]:
        return tuple(dict.fromkeys(pair.target for pair in self.pairs))

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The products' numbers other than zero; a path's output has unit variance for inputs that have."""
        first = {ir: dimension(self.irreps[:i]) for i, ir in enumerate(self.irreps)}
        terms, row = [], 0
        for pair in self.pairs:
            w3j = o3.wigner_3j(pair.left.l, pair.right.l, pair.target.l, dtype=torch.float64)
            values = math.sqrt(pair.target.dim) * w3j
            for left, right, k in (values.abs() > 1e-12).nonzero().tolist():
                place = (row + k, first[pair.left] + left, first[pair.right] + right)
                terms.append(Term(*place, float(values[left, right, k])))
            row += pair.target.dim
        return tuple(sorted(terms, key=lambda term: (term.row, term.left, term.right)))


@dataclass(frozen=True)
class Correlation:
    """What a block multiplies.

    Attributes:
        inner: irreps of a, and of mix(a2).
        wanted: irreps of the block's output.
        square, cube: the couplings of a2 and of a3; no cube where the correlation is 2.
    """

    inner: tuple[Irrep, ...]
    wanted: tuple[Irrep, ...]
    square: ProductTable
    cube: ProductTable | None

    @classmethod
    def of(cls, order: int, inner: tuple[Irrep, ...], wanted: tuple[Irrep, ...]) -> Correlation:
        return cls(
            inner=inner,
            wanted=wanted,
            square=ProductTable.of(inner, inner if order > 2 else wanted, square=True),
            cube=ProductTable.of(inner, wanted, square=False) if order > 2 else None,
        )

    def paths(self, target: Irrep) -> tuple[int, int, int]:
        """How many paths of a, a2 and a3 end in `target`."""
        cube = 0 if self.cube is None else self.cube.count(target)
        return int(target in self.inner), self.square.count(target), cube

    @cached_property
    def irreps_out(self) -> tuple[Irrep, ...]:
        """Those of `wanted` that a path ends in."""
        return tuple(ir for ir in self.wanted if any(self.paths(ir)))


class Product(torch.nn.Module):
    """The product of two features of each atom, channel by channel, along every path of a table."""

    left: Tensor
    right: Tensor
    coupling: Tensor

    def __init__(self, table: ProductTable) -> None:
        super().__init__()
        self.table = table
        places = sorted({(term.left, term.right) for term in table.terms})
        coupling = torch.zeros(table.rows, len(places), dtype=torch.float64)
        for term in table.terms:
            coupling[term.row, places.index((term.left, term.right))] = term.coefficient
        self.register_buffer("left", torch.tensor([i for i, _ in places]), persistent=False)
        self.register_buffer("right", torch.tensor([j for _, j in places]), persistent=False)
        self.register_buffer("coupling", coupling, persistent=False)

    def forward(
        self,
        left: Float[Tensor, "members atoms components channels"],
        right: Float[Tensor, "members atoms components channels"],
    ) -> dict[Irrep, Float[Tensor, "members atoms rows channels"]]:
        """The rows of the paths into each target."""
        outer = left.index_select(2, self.left) * right.index_select(2, self.right)
        targets = self.table.targets
        sizes = [self.table.count(ir) * ir.dim for ir in targets]
        rows = torch.matmul(self.coupling, outer).split(sizes, dim=2)
        return dict(zip(targets, rows, strict=True))


class Products(torch.nn.Module):
    """Rows of an atom's mixed messages a, of a * a and of mix(a * a) * a."""

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
