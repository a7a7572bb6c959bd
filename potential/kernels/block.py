"""Generated C++ of a whole interaction block: `evaluate.cpp` with fixed weights, `dual.cpp` for training.

The files hold what is the same for all blocks. Here the arguments of their functions are described; the sums
over the Clebsch-Gordan table are written out in `block_paths.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import torch

from potential.kernels import cpp
from potential.kernels.arguments import Array, Entry, Function, Group, Packed, Packer
from potential.kernels.block_paths import dual_paths, evaluate_paths
from potential.kernels.build import load
from potential.kernels.couplings import path_codes
from potential.kernels.layout import NONE, SILU, TANH, BlockLayout, Gate, Matrix, Source
from potential.nequip.graph import Graph
from potential.nequip.linear import SILU_SCALE, TANH_SCALE
from potential.nequip.products import Term

Part = Literal["evaluate", "dual"]

_FEATURES, _ROWS, _FACTORS, _PRE, _OUT = (
    f"members atoms {rows} U" for rows in ("M", "ROWS", "FACTORS", "PRE", "OUT")
)
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
                Array("factors", _FACTORS, "write"),
                Array("pre", _PRE, "write"),
                Array("out", _OUT, "write"),
            ),
            groups=_GROUPS,
        ),
        Entry(
            "block_backward",
            (
                Array("dout", _OUT),
                Array("factors", _FACTORS),
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
    generated = {"evaluate": evaluate_paths, "dual": dual_paths}[part](codes, constants["Q"])
    generated |= {entry.name: entry.locals() for entry in _ENTRIES[part]}
    (mix, mix_square, update), (squares, cubes) = layout.updates, layout.products
    return "\n".join(
        [
            cpp.prelude(dtype, constants, codes, _ENTRIES[part]),
            f"constexpr T SILU_SCALE = {SILU_SCALE!r}, TANH_SCALE = {TANH_SCALE!r};",
            *map(cpp.struct, (Source, Matrix, Gate, Term)),
            cpp.table("SOURCES", Source, layout.sources),
            cpp.table("MIX", Matrix, mix.matrices),
            cpp.table("MIX_SQUARE", Matrix, mix_square.matrices),
            cpp.table("UPDATE", Matrix, update.matrices),
            cpp.table("SQUARES", Term, squares),
            cpp.table("CUBES", Term, cubes),
            cpp.table("GATES", Gate, layout.gates),
            cpp.template("vector.h"),
            cpp.rotation(codes, constants["Q"]),
            cpp.template("block.h"),
            cpp.template(f"{part}.cpp", **generated),
        ]
    )
