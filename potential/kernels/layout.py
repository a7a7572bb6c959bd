"""Where the numbers of an interaction block lie: the one description behind packed weights and C++.

Features are [members, atoms, rows, channels]; a row is one component of an irrep. Weights are flat, for
each member: matrices of one shape lie one behind the other (`Matrices`), and the groups follow each other
without a gap. `potential.backends.packed` puts the weights there, `potential.kernels.block` writes the same
numbers into the C++ as tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from potential.nequip.irreps import SCALAR, Irrep, PathTable, dimension
from potential.nequip.products import Correlation, ProductTable, Term

NONE, SILU, TANH = -1, -1, -2


@dataclass(frozen=True)
class Matrices:
    """`count` matrices [rows, columns], the first of them at `first` in the flat weights of a member."""

    first: int
    count: int
    rows: int
    columns: int

    @property
    def end(self) -> int:
        return self.first + self.count * self.rows * self.columns


@dataclass(frozen=True)
class Source:
    """An irrep of the input: its components, its first row, its matrix in the linear map."""

    dim: int
    row: int
    weights: int


@dataclass(frozen=True)
class Matrix:
    """A matrix of an update: where the components of its irrep come from and go to.

    Attributes:
        source: first row: among the atom's rows, or with a species in the input.
        target: first row there.
        width: its columns. The scalar's are wide before the gate: its channels, then a gate for each irrep
            with l > 0.
        species: whose self-connection it is, or NONE.
    """

    dim: int
    source: int
    target: int
    width: int
    weights: int
    species: int


@dataclass(frozen=True)
class Gate:
    """An irrep of the output: its row there and before the gate, and what passes it on.

    Attributes:
        gate: row of the scalar that multiplies it, or SILU or TANH where it passes through that itself.
    """

    dim: int
    out: int
    pre: int
    gate: int


@dataclass(frozen=True)
class Update:
    """Matrices that act on the rows of an atom: for each target those of its paths, then of each species."""

    groups: tuple[Matrices, ...]
    matrices: tuple[Matrix, ...]

    @property
    def end(self) -> int:
        return self.groups[-1].end if self.groups else 0


@dataclass(frozen=True)
class BlockLayout:
    """The layout of an interaction block with the paths of `table`.

    The rows of an atom are [messages of all paths | a | mixed square | square | cube], the last four only
    where the block multiplies its messages (the names are those of `potential.nequip.products`).
    a and the mixed square are the factors.
    """

    table: PathTable
    channels: int
    n_species: int
    correlation: Correlation | None = None

    def __hash__(self) -> int:
        """Counted once: compiled functions are looked up by their layout in every training step."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.table, self.channels, self.n_species, self.correlation))

    @cached_property
    def irreps_out(self) -> tuple[Irrep, ...]:
        return self.table.irreps_out if self.correlation is None else self.correlation.irreps_out

    @cached_property
    def gated(self) -> tuple[Irrep, ...]:
        return tuple(ir for ir in self.irreps_out if ir.l > 0)

    @cached_property
    def components_in(self) -> int:
        return dimension(self.table.irreps_in)

    @cached_property
    def components_out(self) -> int:
        return dimension(self.irreps_out)

    @cached_property
    def _products(self) -> tuple[ProductTable, ...]:
        """The square, and the cube."""
        found = () if self.correlation is None else (self.correlation.square, self.correlation.cube)
        return tuple(table for table in found if table is not None)

    @cached_property
    def _factor(self) -> int:
        """Rows of one factor."""
        return dimension(self.table.irreps_out)

    @cached_property
    def factors(self) -> int:
        """Rows of the factors: there is one for each product."""
        return self._factor * len(self._products)

    @cached_property
    def _first_product(self) -> int:
        return self.table.rows + self.factors

    @cached_property
    def rows(self) -> int:
        """Rows of an atom: the messages of all paths, the factors, the products."""
        return self._first_product + sum(table.rows for table in self._products)

    @cached_property
    def rows_before_gate(self) -> int:
        """Output components, and a gate for each irrep with l > 0."""
        return self.components_out + len(self.gated)

    @property
    def linear(self) -> Matrices:
        """Of the linear map: one matrix for each irrep of the input."""
        return Matrices(0, len(self.table.irreps_in), self.channels, self.channels)

    @cached_property
    def updates(self) -> tuple[Update, Update, Update]:
        """Of the messages into a, of the square into its mixed one, of all into what is before the gate."""
        inner, widths = self.table.irreps_out, dict.fromkeys(self.irreps_out, self.channels)
        widths[SCALAR] = self.channels * (1 + len(self.gated))
        messages = _rows(0, [path.target for path in self.table.paths])
        if not self._products:
            none = Update((), ())
            return none, none, self._update(0, messages, self._before_gate, widths, self.table.irreps_in)
        alike = dict.fromkeys(inner, self.channels)
        a, mixed, row = self.table.rows, self.table.rows + self._factor, self._first_product
        rows = {ir: [a + _row(inner, ir)] if ir in inner else [] for ir in self.irreps_out}
        by_target = []
        for table in self._products:
            by_target.append(_rows(row, [pair.target for pair in table.pairs]))
            row += table.rows
            for ir in self.irreps_out:
                rows[ir] += by_target[-1].get(ir, [])
        first = self._update(0, messages, lambda ir: a + _row(inner, ir), alike)
        squares = by_target[0] if len(by_target) > 1 else {}
        second = self._update(first.end, squares, lambda ir: mixed + _row(inner, ir), alike)
        start = max(first.end, second.end)
        return first, second, self._update(start, rows, self._before_gate, widths, self.table.irreps_in)

    @property
    def sources(self) -> list[Source]:
        matrix = self.channels**2
        irreps = self.table.irreps_in
        return [Source(ir.dim, _row(irreps, ir), i * matrix) for i, ir in enumerate(irreps)]

    @property
    def products(self) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """Of the square a * a and the cube, mixed square * a; rows and components count from their first."""
        square, cube, *_ = (*(table.terms for table in self._products), (), ())
        return square, cube

    @property
    def gates(self) -> list[Gate]:
        irreps = self.irreps_out
        return [Gate(ir.dim, _row(irreps, ir), self._before_gate(ir), self._gate(ir)) for ir in irreps]

    @property
    def constants(self) -> dict[str, int]:
        """Sizes by the names that the C++ and the shapes of arguments have for them."""
        return {
            "U": self.channels,
            "M": self.components_in,
            "ROWS": self.rows,
            "P": len(self.table.paths),
            "OUT": self.components_out,
            "PRE": self.rows_before_gate,
            "Q": (self.table.l_max + 1) ** 2,
            "SPECIES": self.n_species,
            "LARGEST_DIM": max(ir.dim for ir in (*self.table.irreps_in, *self.table.irreps_out)),
            "LINEAR_WEIGHTS": self.linear.end,
            "UPDATE_WEIGHTS": self.updates[-1].end,
            "FACTORS": self.factors,
            "A": self.table.rows,
            "MIXED": self.table.rows + self._factor,
            "SQUARE": self._first_product,
            "CUBE": self._first_product + (self._products[0].rows if self._products else 0),
        }

    def _update(
        self,
        first: int,
        rows: Mapping[Irrep, Sequence[int]],
        place: Callable[[Irrep], int],
        widths: Mapping[Irrep, int],
        own: tuple[Irrep, ...] = (),
    ) -> Update:
        """The matrices into each target, from the weight `first`: from each of its rows, and its own."""
        groups: list[Matrices] = []
        matrices: list[Matrix] = []
        for ir, sources in rows.items():
            each = [(row, NONE) for row in sources]
            if ir in own:
                each += [(_row(own, ir), species) for species in range(self.n_species)]
            groups.append(Matrices(first, len(each), self.channels, widths[ir]))
            size = self.channels * widths[ir]
            for i, (source, species) in enumerate(each):
                matrices.append(Matrix(ir.dim, source, place(ir), widths[ir], first + i * size, species))
            first = groups[-1].end
        return Update(tuple(groups), tuple(matrices))

    def _before_gate(self, ir: Irrep) -> int:
        """Row before the gate: the scalar, the gates, the other irreps in their order."""
        return 0 if ir == SCALAR else len(self.gated) + _row(self.irreps_out, ir)

    def _gate(self, ir: Irrep) -> int:
        if ir.l > 0:
            return 1 + self.gated.index(ir)
        return SILU if ir == SCALAR else TANH


def _row(irreps: tuple[Irrep, ...], wanted: Irrep) -> int:
    return dimension(irreps[: irreps.index(wanted)])


def _rows(first: int, targets: Sequence[Irrep]) -> dict[Irrep, list[int]]:
    """The first row of each path, by its target; `targets` are those of all paths, in their order."""
    found: dict[Irrep, list[int]] = {}
    for ir in targets:
        found.setdefault(ir, []).append(first)
        first += ir.dim
    return found
