"""The non-zero numbers of a `PathTable`, named for the generators of kernels.

  R_p[k,m1](Y) = sum_m2 C^p[m2,k,m1] Y[m2]

is made once for each edge. It depends on the degrees of a path alone, so that paths that differ in
parity share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from potential.nequip.irreps import PathTable

Degrees = tuple[int, int, int]  # of source, edge and target


@dataclass(frozen=True)
class Entry:
    """One number of R: row `k` and column `m1` of a path, at `index` in the buffer of an edge."""

    k: int
    m1: int
    index: int
    terms: tuple[tuple[int, float], ...]  # (m2, coefficient)


@dataclass(frozen=True)
class PathCode:
    """Where a path finds its operands: row of the output, column of the features, entries of R."""

    number: int
    degrees: Degrees
    row: int
    dim: int
    column: int
    entries: tuple[Entry, ...]


def path_codes(table: PathTable) -> list[PathCode]:
    """One for each path of `table`, in its order."""
    coupling = table.coupling().numpy()
    offsets, start = {}, 0
    for ir in table.irreps_in:
        offsets[ir], start = start, start + ir.dim
    entries: dict[Degrees, tuple[Entry, ...]] = {}
    heads: list[tuple[Degrees, int, int, int]] = []
    row = 0
    for path in table.paths:
        degrees, column = (path.source.l, path.l_edge, path.target.l), offsets[path.source]
        heads.append((degrees, row, path.target.dim, column))
        block = coupling[:, row : row + path.target.dim, column : column + path.source.dim]
        entries.setdefault(degrees, _entries(block))
        row += path.target.dim
    # In the buffer of an edge, entries are sorted by the degree of Y.
    numbered, count = {}, 0
    for degrees in sorted(entries, key=lambda d: d[1]):
        found = entries[degrees]
        numbered[degrees] = tuple(Entry(e.k, e.m1, count + e.index, e.terms) for e in found)
        count += len(found)
    return [PathCode(i, d, r, dim, column, numbered[d]) for i, (d, r, dim, column) in enumerate(heads)]


def by_degrees(codes: list[PathCode]) -> list[list[PathCode]]:
    """The paths that share their entries."""
    groups: dict[Degrees, list[PathCode]] = {}
    for code in codes:
        groups.setdefault(code.degrees, []).append(code)
    return list(groups.values())


def entry_count(codes: list[PathCode]) -> int:
    """Length of the buffer R of an edge."""
    return len({e.index for code in codes for e in code.entries})


def _entries(block: np.ndarray) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for k in range(block.shape[1]):
        for m1 in range(block.shape[2]):
            values = block[:, k, m1]
            terms = tuple((int(m2), float(values[m2])) for m2 in np.flatnonzero(np.abs(values) > 1e-12))
            if terms:
                found.append(Entry(k, m1, len(found), terms))
    return tuple(found)
