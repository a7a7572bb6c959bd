"""Where the numbers of an interaction block lie: the one description behind packed weights and C++.

Features are [members, atoms, rows, channels]; a row is one component of an irrep. Weights are flat, for
each member: matrices of one shape lie one behind the other (`Matrices`), and the groups follow each other
without a gap. `potential.backends.packed` puts the weights there, `potential.kernels.block` writes the same
numbers into the C++ as tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from potential.nequip.irreps import SCALAR, Irrep, PathTable, dimension

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
class Target:
    """An irrep of the output, before the gate.

    Attributes:
        row: of its messages, path by path.
        pre: row before the gate.
        width: columns of its matrices. The scalar's are wide: its channels, then a gate for each irrep
            with l > 0.
        own: its row in the input, or NONE.
        weights: its matrices in the update: one for each path, then, if it has an own row, one for each
            species.
    """

    dim: int
    row: int
    paths: int
    pre: int
    width: int
    own: int
    weights: int


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
class BlockLayout:
    """The layout of an interaction block with the paths of `table`."""

    table: PathTable
    channels: int
    n_species: int

    def __hash__(self) -> int:
        """Counted once: compiled functions are looked up by their layout in every training step."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.table, self.channels, self.n_species))

    @cached_property
    def gated(self) -> tuple[Irrep, ...]:
        return tuple(ir for ir in self.table.irreps_out if ir.l > 0)

    @cached_property
    def components_in(self) -> int:
        return dimension(self.table.irreps_in)

    @cached_property
    def components_out(self) -> int:
        return dimension(self.table.irreps_out)

    @property
    def rows(self) -> int:
        """Rows of the messages, of all paths."""
        return self.table.rows

    @cached_property
    def rows_before_gate(self) -> int:
        """Output components, and a gate for each irrep with l > 0."""
        return self.components_out + len(self.gated)

    @property
    def linear(self) -> Matrices:
        """Of the linear map: one matrix for each irrep of the input."""
        return Matrices(0, len(self.table.irreps_in), self.channels, self.channels)

    @cached_property
    def update(self) -> tuple[Matrices, ...]:
        """Of the update: for each target its matrices."""
        found: list[Matrices] = []
        for ir in self.table.irreps_out:
            count = len(self.table.paths_into(ir)) + (self.n_species if ir in self.table.irreps_in else 0)
            width = self.channels * (1 + len(self.gated) if ir == SCALAR else 1)
            found.append(Matrices(found[-1].end if found else 0, count, self.channels, width))
        return tuple(found)

    @property
    def sources(self) -> list[Source]:
        matrix = self.channels**2
        irreps = self.table.irreps_in
        return [Source(ir.dim, _row(irreps, ir), i * matrix) for i, ir in enumerate(irreps)]

    @property
    def targets(self) -> list[Target]:
        found, row = [], 0
        irreps_in = self.table.irreps_in
        for ir, matrices in zip(self.table.irreps_out, self.update, strict=True):
            paths = len(self.table.paths_into(ir))
            own = _row(irreps_in, ir) if ir in irreps_in else NONE
            found.append(Target(ir.dim, row, paths, self._pre(ir), matrices.columns, own, matrices.first))
            row += paths * ir.dim
        return found

    @property
    def gates(self) -> list[Gate]:
        irreps = self.table.irreps_out
        return [Gate(ir.dim, _row(irreps, ir), self._pre(ir), self._gate(ir)) for ir in irreps]

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
            "UPDATE_WEIGHTS": self.update[-1].end,
        }

    def _pre(self, ir: Irrep) -> int:
        """Row before the gate: the scalar, the gates, the other irreps in their order."""
        return 0 if ir == SCALAR else len(self.gated) + _row(self.table.irreps_out, ir)

    def _gate(self, ir: Irrep) -> int:
        if ir.l > 0:
            return 1 + self.gated.index(ir)
        return SILU if ir == SCALAR else TANH


def _row(irreps: tuple[Irrep, ...], wanted: Irrep) -> int:
    return dimension(irreps[: irreps.index(wanted)])
