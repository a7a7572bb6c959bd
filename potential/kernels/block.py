"""Generated C++ of a whole interaction block: `evaluate.cpp` with fixed weights, `dual.cpp` for training.

The files hold what is the same for all blocks. Here the arguments of their functions are described, and the
sums over the Clebsch-Gordan table written out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

import torch

from potential.kernels import cpp
from potential.kernels.arguments import Array, Entry, Function, Group, Packed, Packer
from potential.kernels.build import load
from potential.kernels.couplings import PathCode, by_degrees, path_codes
from potential.kernels.layout import NONE, SILU, TANH, BlockLayout
from potential.nequip.graph import Graph
from potential.nequip.linear import SILU_SCALE, TANH_SCALE

Part = Literal["evaluate", "dual"]

_FEATURES, _ROWS, _PRE, _OUT = (f"members atoms {rows} U" for rows in ("M", "ROWS", "PRE", "OUT"))
_GRAPH = Group(
    "graph",
    ("atoms", "edges"),
    (
        Array("species", "atoms", "index"),
        Array("row", "atoms+1", "index"),
        Array("send", "edges", "index"),
        Array("column", "atoms+1", "index"),
        Array("order", "edges", "index"),
        Array("receive", "edges", "index"),
        Array("Y", "edges Q"),
        Array("Y_slope", "edges Q 3"),
        Array("b", "edges 4"),
        Array("b_slope", "edges 4"),
        Array("unit", "edges 3"),
        Array("interval", "edges", "index"),
    ),
)
_WEIGHTS = Group(
    "weights",
    ("members", "knots"),
    (
        Array("linear_weights", "members LINEAR_WEIGHTS"),
        Array("update_weights", "members UPDATE_WEIGHTS"),
        Array("linear_matrices", "members LINEAR_WEIGHTS"),  # transposed
        Array("update_matrices", "members UPDATE_WEIGHTS"),
        Array("coefficients", "members knots P U"),
    ),
)


def _dual(name: str, shape: str, kind: Literal["read", "write"] = "read") -> tuple[Array, Array]:
    """A number and its part in eps."""
    return Array(name, shape, kind), Array(f"{name}d", shape, kind)


_GROUPS = (_GRAPH, _WEIGHTS)
_ENTRIES = {
    "evaluate": (
        Entry(
            "block_forward",
            (
                Array("x", _FEATURES),
                Array("h", _FEATURES, "write"),
                Array("pre", _PRE, "write"),
                Array("out", _OUT, "write"),
            ),
            groups=_GROUPS,
        ),
        Entry(
            "block_backward",
            (
                Array("dout", _OUT),
                Array("pre", _PRE, "write"),
                Array("h", _FEATURES),
                Array("g", _ROWS, "write"),
                Array("dx", _FEATURES, "write", optional=True),
                Array("dd", "members edges 3", "write"),
            ),
            groups=_GROUPS,
        ),
    ),
    "dual": (
        Entry(
            "dual_forward",
            (
                *_dual("x", _FEATURES),
                *_dual("h", _FEATURES, "write"),
                *_dual("messages", _ROWS, "write"),
                *_dual("pre", _PRE, "write"),
                *_dual("out", _OUT, "write"),
                Array("direction", "members edges 3"),
            ),
            groups=_GROUPS,
        ),
        Entry(
            "dual_backward",
            (
                *_dual("dout", _OUT),
                *_dual("x", _FEATURES),
                *_dual("h", _FEATURES),
                *_dual("messages", _ROWS),
                *_dual("pre", _PRE),
                *_dual("dpre", _PRE, "write"),
                *_dual("g", _ROWS, "write"),
                *_dual("dh", _FEATURES, "write"),
                *_dual("dx", _FEATURES, "write"),
                Array("dlinear", "members LINEAR_WEIGHTS", "write"),
                Array("dupdate", "members UPDATE_WEIGHTS", "write"),
                Array("dtable", "members slabs knots P U", "write"),
                Array("direction", "members edges 3"),
            ),
            sizes=("slabs",),
            groups=_GROUPS,
        ),
    ),
}


class BlockFunctions(NamedTuple):
    """The compiled passes of a block."""

    forward: Function
    backward: Function


@cache
def block_functions(part: Part, layout: BlockLayout, dtype: torch.dtype) -> BlockFunctions:
    """The compiled block.

    Raises:
        CompilerError: without a working compiler.
    """
    library = load(block_source(part, layout, dtype), tuple(entry.name for entry in _ENTRIES[part]))
    return BlockFunctions(*(Function(e, library, layout.constants, dtype) for e in _ENTRIES[part]))


def pack_graph(graph: Graph) -> Packed:
    """The arguments of a block that describe the graph."""
    topology, geometry = graph.topology, graph.geometry
    sizes = {"atoms": len(graph.species), "edges": len(topology.sender)}
    tensors = {
        "species": graph.species,
        "row": topology.row,
        "send": topology.sender,
        "column": topology.column,
        "order": topology.order,
        "receive": topology.receiver,
        "Y": geometry.harmonics,
        "Y_slope": geometry.harmonics_slope,
        "b": geometry.basis,
        "b_slope": geometry.basis_slope,
        "unit": geometry.unit,
        "interval": geometry.interval,
    }
    return _graph_packer(geometry.harmonics.shape[1], geometry.harmonics.dtype)(sizes, tensors)


@cache
def weights_packer(layout: BlockLayout, dtype: torch.dtype) -> Packer:
    """Packs the arguments that are a block's weights; sizes: members, knots."""
    return Packer(_WEIGHTS, layout.constants, dtype)


@cache
def _graph_packer(harmonics: int, dtype: torch.dtype) -> Packer:
    return Packer(_GRAPH, {"Q": harmonics}, dtype)


def block_source(part: Part, layout: BlockLayout, dtype: torch.dtype) -> str:
    """C++ of the block's `part`."""
    codes = path_codes(layout.table)
    constants = {**layout.constants, "NONE": NONE, "SILU": SILU, "TANH": TANH}
    generated = {"evaluate": _evaluate_paths, "dual": _dual_paths}[part](codes, constants["Q"])
    generated |= {entry.name: entry.locals() for entry in _ENTRIES[part]}
    return "\n".join(
        [
            cpp.prelude(dtype, constants, codes, _ENTRIES[part]),
            f"constexpr T SILU_SCALE = {SILU_SCALE!r}, TANH_SCALE = {TANH_SCALE!r};",
            cpp.table("SOURCES", layout.sources),
            cpp.table("TARGETS", layout.targets),
            cpp.table("GATES", layout.gates),
            cpp.template("vector.h"),
            cpp.rotation(codes, constants["Q"]),
            cpp.template("block.h"),
            cpp.template(f"{part}.cpp", **generated),
        ]
    )


def _evaluate_paths(codes: list[PathCode], n: int) -> dict[str, list[str]]:
    weights = (_sum("b", (cpp.at("c", _knot(j, path)) for j in range(4))) for path in codes)
    return {
        "gather": [line for path, w in zip(codes, weights, strict=True) for line in cpp.gather(path, w)],
        "scatter": [
            f"  V {cpp.zeros('y', n)}, r = {{}};",
            *(line for group in by_degrees(codes) for line in _scatter(group)),
            f"  const T dY[] = {{{cpp.sums('y', n)}}};",
        ],
    }


def _dual_paths(codes: list[PathCode], _: int) -> dict[str, list[str]]:
    return {
        "gather": [line for path in codes for line in _dual_gather(path)],
        "scatter": [line for path in codes for line in _dual_scatter(path)],
    }


def _scatter(group: list[PathCode]) -> list[str]:
    """With q = R^T g: dh += w q, dw = h . q; and dE/dY through S[k, m1] = sum_u w g_k h_m1."""
    entries = group[0].entries
    lines = [
        f"  {{ V {', '.join(f's{e.k}_{e.m1} = {{}}' for e in entries)};",
        "    for (int64_t u = 0; u < U; u += LANES) {",
        "      const T *h_ = h + u, *g_ = g + u, *c_ = c + u;",
        "      T* d_ = dh + u;",
    ]
    for path in group:
        rows, columns = {e.k for e in entries}, {e.m1 for e in entries}
        lines += [
            f"      {{ {_knots(path)}",
            f"        const V w = {_spline('b')};",
            "        V dw = {};",
        ]
        lines += [f"        const V g{k} = {cpp.at('g', path.row + k)};" for k in sorted(rows)]
        lines += [f"        const V wg{k} = w * g{k};" for k in sorted(rows)]
        for m1 in sorted(columns):
            mine, m = [e for e in entries if e.m1 == m1], path.column + m1
            q = " + ".join(f"R[{e.index}] * g{e.k}" for e in mine)
            sums = " ".join(f"s{e.k}_{m1} += wg{e.k} * x;" for e in mine)
            lines.append(
                f"        {{ const V x = {cpp.at('h', m)}, q = {q}; "
                f"{cpp.add('d', m)} w * q; dw += x * q; {sums} }}"
            )
        lines.append(f"        r += ({_spline('t')}) * dw; }}")
    return [*lines, "    }", *cpp.by_harmonics(group), "  }"]


def _dual_gather(path: PathCode) -> list[str]:
    """With q = R h: out += w q, outd += wd q + w (R hd + Rd h)."""
    lines = [
        f"  {{ {_knots(path)}",
        f"    const V w = {_spline('b')}, wd = {_spline('t')};",
    ]
    for k in range(path.dim):
        mine = [(e.index, path.column + e.m1) for e in path.entries if e.k == k]
        if mine:
            q = " + ".join(f"R[{i}] * {cpp.at('h', m)}" for i, m in mine)
            tangent = " + ".join(f"R[{i}] * {cpp.at('hd', m)} + S[{i}] * {cpp.at('h', m)}" for i, m in mine)
            row = path.row + k
            lines.append(
                f"    {{ const V q = {q}; {cpp.add('o', row)} w * q; "
                f"{cpp.add('od', row)} wd * q + w * ({tangent}); }}"
            )
    return [*lines, "  }"]


def _dual_scatter(path: PathCode) -> list[str]:
    """With q = R^T g, qd = R^T gd, s = q + Rd^T gd:

    dh += w s + wd qd, dhd += w qd, dw = h . s + hd . qd, dwd = h . qd; b_j dw + t_j dwd to coefficient j.
    """
    rows = sorted({e.k for e in path.entries})
    cotangents = (f"g{k} = {cpp.at('g', path.row + k)}, gd{k} = {cpp.at('gd', path.row + k)}" for k in rows)
    lines = [
        f"  {{ {_knots(path)}",
        f"    const V w = {_spline('b')}, wd = {_spline('t')};",
        f"    const V {', '.join(cotangents)};",
        "    V dw = {}, dwd = {};",
    ]
    for m1 in sorted({e.m1 for e in path.entries}):
        mine, m = [e for e in path.entries if e.m1 == m1], path.column + m1
        tangent = " + ".join(f"R[{e.index}] * gd{e.k}" for e in mine)
        both = " + ".join(f"R[{e.index}] * g{e.k} + S[{e.index}] * gd{e.k}" for e in mine)
        lines.append(
            f"    {{ const V x = {cpp.at('h', m)}, xd = {cpp.at('hd', m)}, qd = {tangent}, s = {both};\n"
            f"      {cpp.add('d', m)} w * s + wd * qd; {cpp.add('dd', m)} w * qd; "
            "dw += x * s + xd * qd; dwd += x * qd; }"
        )
    lines += [f"    {cpp.add('t', _knot(j, path))} b{j} * dw + t{j} * dwd;" for j in range(4)]
    return [*lines, "  }"]


def _knots(path: PathCode) -> str:
    return f"const V {', '.join(f'k{j} = ' + cpp.at('c', _knot(j, path)) for j in range(4))};"


def _spline(basis: str) -> str:
    return _sum(basis, (f"k{j}" for j in range(4)))


def _sum(basis: str, terms: Iterable[str]) -> str:
    return " + ".join(f"{basis}{j} * {term}" for j, term in enumerate(terms))


def _knot(j: int, path: PathCode) -> str:
    """Row of coefficient `j` of a path."""
    return f"({j} * P + {path.number})"
