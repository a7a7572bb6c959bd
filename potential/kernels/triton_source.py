"""Triton source of the convolution's three primitives, generated from a `PathTable`.

The same F, B and A as the C++ of `potential.kernels.source`, with the same tensors:

  F   a program for each atom, member, block of channels and part of the rows; it owns the edges of
      a receiver. The rows are accumulated in registers, so many rows are done in several parts.
  B   a program for each atom, member and block of channels; it owns the edges of a sender.
  A   a program for each edge and member; it runs over the blocks of channels, for dPhi/dY sums them.

No two programs write to one place. Sums are written out over the non-zero entries of R_p[k,m1](Y),
which are made once for all paths of equal degrees.
"""

from __future__ import annotations

from collections.abc import Iterable

from potential.kernels.couplings import Entry, PathCode, by_degrees, path_codes
from potential.nequip.irreps import PathTable, dimension

ROWS_IN_REGISTERS = 64


def triton_source(table: PathTable) -> str:
    """A Python module with the Triton kernels `forward`, `backward` and `adjoint`, and `PARTS`."""
    groups = by_degrees(path_codes(table))
    parts = _parts(groups)
    components = dimension(table.irreps_in)
    return _TEMPLATE.format(
        parts=len(parts),
        components=components,
        rows=table.rows,
        paths=len(table.paths),
        harmonics=(table.l_max + 1) ** 2,
        forward="\n".join(line for i, part in enumerate(parts) for line in _forward(i, part)),
        zeros_h=_lines(4, (f"o{m} = tl.full([BLOCK], 0.0, out.dtype.element_ty)" for m in range(components))),
        backward=_lines(8, _backward(groups)),
        store_h=_lines(4, (f"tl.store(o_ + {m} * U, o{m}, mask=mask)" for m in range(components))),
        loads_y=_lines(4, _load_harmonics(groups)),
        zeros_y=_lines(4, (f"s{m} = tl.full([BLOCK], 0.0, dy.dtype.element_ty)" for m in _used(groups))),
        adjoint=_lines(8, _adjoint(groups)),
        store_y=_lines(4, _store_harmonics(groups, (table.l_max + 1) ** 2)),
    )


def _parts(groups: list[list[PathCode]]) -> list[list[list[PathCode]]]:
    """Groups that fit into the registers together."""
    parts: list[list[list[PathCode]]] = []
    room = 0
    for group in groups:
        rows = sum(path.dim for path in group)
        if not parts or rows > room:
            parts.append([])
            room = ROWS_IN_REGISTERS
        parts[-1].append(group)
        room -= rows
    return parts


def _forward(number: int, groups: list[list[PathCode]]) -> list[str]:
    rows = [path.row + k for group in groups for path in group for k in range(path.dim)]
    body = [*_load_harmonics(groups), *_load_features(groups)]
    for group in groups:
        body += _rotation(group)
        for path in group:
            body.append(_load("w", path.number))
            for k in range(path.dim):
                terms = [f"r{e.index} * h{path.column + e.m1}" for e in path.entries if e.k == k]
                if terms:
                    body.append(f"o{path.row + k} += w{path.number} * ({' + '.join(terms)})")
    return [
        f"    if part == {number}:",
        *(f"        o{r} = tl.full([BLOCK], 0.0, out.dtype.element_ty)" for r in rows),
        "        for e in range(first, last):",
        "            y_ = y + m * y_stride + e * Q",
        "            h_ = h + (m * atoms + tl.load(send + e)) * M * U + u",
        "            w_ = w + (m * edges + e) * P * U + u",
        *(f"            {line}" for line in body),
        *(f"        tl.store(o_ + {r} * U, o{r}, mask=mask)" for r in rows),
    ]


def _backward(groups: list[list[PathCode]]) -> list[str]:
    body = _load_harmonics(groups)
    for group in groups:
        body += _rotation(group)
        for path in group:
            body.append(_load("w", path.number))
            for k in sorted({e.k for e in path.entries}):
                row = path.row + k
                body.append(f"g{row} = w{path.number} * {_value('g', row)}")
            for m1 in sorted({e.m1 for e in path.entries}):
                terms = [f"r{e.index} * g{path.row + e.k}" for e in path.entries if e.m1 == m1]
                body.append(f"o{path.column + m1} += {' + '.join(terms)}")
    return body


def _adjoint(groups: list[list[PathCode]]) -> list[str]:
    """dw of each path, and dY through t[k, m1] = w g_k h_m1, summed over the paths of equal degrees."""
    body = _load_features(groups)
    for group in groups:
        body += _rotation(group)
        for path in group:
            body.append(_load("w", path.number))
            products: list[str] = []
            for k in sorted({e.k for e in path.entries}):
                mine = [e for e in path.entries if e.k == k]
                rotated = " + ".join(f"r{e.index} * h{path.column + e.m1}" for e in mine)
                body.append(_load("g", path.row + k))
                products.append(f"g{path.row + k} * ({rotated})")
                body.append(f"wg = w{path.number} * g{path.row + k}")
                sign = "=" if path is group[0] else "+="
                body += [f"t{e.k}_{e.m1} {sign} wg * h{path.column + e.m1}" for e in mine]
            body.append(f"tl.store(dw_ + {path.number} * U, {' + '.join(products)}, mask=mask)")
        entries = group[0].entries
        for m2 in sorted({m for e in entries for m, _ in e.terms}):
            terms = [_scaled(c, f"t{e.k}_{e.m1}") for e in entries for m, c in e.terms if m == m2]
            body.append(f"s{m2} += {' + '.join(terms)}")
    return body


def _rotation(group: list[PathCode]) -> list[str]:
    return [f"r{e.index} = {_sum(e)}" for e in group[0].entries]


def _sum(entry: Entry) -> str:
    return " + ".join(_scaled(c, f"y{m2}") for m2, c in entry.terms)


def _scaled(coefficient: float, name: str) -> str:
    return f"{coefficient!r} * {name}"


def _used(groups: list[list[PathCode]]) -> list[int]:
    return sorted({m2 for group in groups for e in group[0].entries for m2, _ in e.terms})


def _load_harmonics(groups: list[list[PathCode]]) -> list[str]:
    return [f"y{m2} = tl.load(y_ + {m2})" for m2 in _used(groups)]


def _load_features(groups: list[list[PathCode]]) -> list[str]:
    columns = {path.column + e.m1 for group in groups for path in group for e in path.entries}
    return [_load("h", column) for column in sorted(columns)]


def _store_harmonics(groups: list[list[PathCode]], n: int) -> list[str]:
    used = _used(groups)
    return [f"tl.store(dy_ + {m}, {f'tl.reduce(s{m}, 0, _add)' if m in used else '0.0'})" for m in range(n)]


def _load(tensor: str, index: int) -> str:
    return f"{tensor}{index} = {_value(tensor, index)}"


def _value(tensor: str, index: int) -> str:
    return f"tl.load({tensor}_ + {index} * U, mask=mask, other=0.0)"


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)


_TEMPLATE = '''\
"""Generated by potential.kernels.triton_source."""

import triton
import triton.language as tl

PARTS = {parts}
_PARTS = tl.constexpr({parts})
M = tl.constexpr({components})
ROWS = tl.constexpr({rows})
P = tl.constexpr({paths})
Q = tl.constexpr({harmonics})
_VARYING = ["atoms", "edges", "y_stride"]


@triton.jit
def _add(a, b):
    return a + b


@triton.jit(do_not_specialize=_VARYING)
def forward(h, y, w, out, row, send, atoms, edges, y_stride, U: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1).to(tl.int64)
    part = tl.program_id(2) % _PARTS
    u = tl.program_id(2) // _PARTS * BLOCK + tl.arange(0, BLOCK)
    mask = u < U
    first = tl.load(row + i)
    last = tl.load(row + i + 1)
    o_ = out + (m * atoms + i) * ROWS * U + u
{forward}


@triton.jit(do_not_specialize=_VARYING)
def backward(
    g, y, w, out, column, order, receive, atoms, edges, y_stride, U: tl.constexpr, BLOCK: tl.constexpr
):
    j = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1).to(tl.int64)
    u = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = u < U
    o_ = out + (m * atoms + j) * M * U + u
{zeros_h}
    for n in range(tl.load(column + j), tl.load(column + j + 1)):
        e = tl.load(order + n)
        y_ = y + m * y_stride + e * Q
        g_ = g + (m * atoms + tl.load(receive + e)) * ROWS * U + u
        w_ = w + (m * edges + e) * P * U + u
{backward}
{store_h}


@triton.jit(do_not_specialize=_VARYING)
def adjoint(
    h, y, w, g, dw, dy, row, send, receive, atoms, edges, y_stride, U: tl.constexpr, BLOCK: tl.constexpr
):
    e = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1).to(tl.int64)
    i = tl.load(receive + e)
    j = tl.load(send + e)
    y_ = y + m * y_stride + e * Q
    dy_ = dy + (m * edges + e) * Q
{loads_y}
{zeros_y}
    for start in range(0, U, BLOCK):
        u = start + tl.arange(0, BLOCK)
        mask = u < U
        h_ = h + (m * atoms + j) * M * U + u
        w_ = w + (m * edges + e) * P * U + u
        g_ = g + (m * atoms + i) * ROWS * U + u
        dw_ = dw + (m * edges + e) * P * U + u
{adjoint}
{store_y}
'''
