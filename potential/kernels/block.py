"""Generated C++ of a whole interaction block: `evaluate.cpp` with fixed weights, `dual.cpp` for training.

The files hold what is the same for all blocks; here the sums over the Clebsch-Gordan table are
written out, and the sizes filled in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Literal

import torch
from torch import Tensor

from potential.kernels.build import load
from potential.kernels.couplings import (
    PathCode,
    by_degrees,
    entry_count,
    forward_code,
    path_codes,
    rotation_code,
    vector_lanes,
)
from potential.nequip.irreps import SCALAR, Irrep, PathTable, dimension
from potential.nequip.linear import SILU_SCALE, TANH_SCALE

Part = Literal["evaluate", "dual"]


@cache
def block_library(
    part: Part, table: PathTable, channels: int, n_species: int, dtype: torch.dtype
) -> ctypes.CDLL:
    """The compiled block.

    Raises:
        CompilerError: without a working compiler.
    """
    names = {torch.float32: "float", torch.float64: "double"}
    return load(block_source(part, table, channels, n_species, names[dtype]))


def call(function: Any, tensors: Sequence[Tensor | None], sizes: Sequence[int]) -> None:
    """Call compiled code with the addresses of `tensors`, then `sizes`, then the number of threads."""
    function.restype = None
    function(
        *(ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors),
        *map(ctypes.c_int64, sizes),
        ctypes.c_int(torch.get_num_threads()),
    )


def block_source(part: Part, table: PathTable, channels: int, n_species: int, dtype: str) -> str:
    """C++ of the block's `part`; `dtype` is "float" or "double".

    Weights are flat, for each member: of the linear map [irreps_in, U, U]; of the update, for each
    target, [paths, U, width] and then, where the target is among `irreps_in`, [species, U, width].
    The scalar target is the wide one: its own channels, then a gate for each irrep with l > 0.
    """
    size = {"float": 4, "double": 8}[dtype]
    lanes, codes = vector_lanes(channels, size), path_codes(table)
    out, harmonics = table.irreps_out, (table.l_max + 1) ** 2
    gated = [ir for ir in out if ir.l > 0]
    targets, n_weights = _targets(table, channels, n_species, len(gated))
    here = Path(__file__).parent
    template = (here / "block.h").read_text() + (here / f"{part}.cpp").read_text()
    return Template(template).substitute(
        dtype=dtype,
        bytes=lanes * size,
        lanes=lanes,
        channels=channels,
        components=dimension(table.irreps_in),
        components_out=dimension(out),
        rows=table.rows,
        paths=len(table.paths),
        gates=len(gated),
        harmonics=harmonics,
        entries=entry_count(codes),
        species=n_species,
        largest_dim=max(ir.dim for ir in (*out, *table.irreps_in)),
        silu=repr(SILU_SCALE),
        tanh=repr(TANH_SCALE),
        sources=", ".join(f"{{{ir.dim}, {_row(table.irreps_in, ir)}}}" for ir in table.irreps_in),
        targets=", ".join(targets),
        gated=", ".join(_gate(out, gated, ir) for ir in out),
        linear_weights=len(table.irreps_in) * channels**2,
        update_weights=n_weights,
        rotation=rotation_code(codes, harmonics),
        gather="\n".join(forward_code(path, f"SPLINE(b, {path.number})") for path in codes),
        scatter="\n".join(map(_scatter, by_degrees(codes))),
        dual_gather="\n".join(map(_dual_gather, codes)),
        dual_scatter="\n".join(map(_dual_scatter, codes)),
        zeros_y=", ".join(f"y{m} = {{}}" for m in range(harmonics)),
        sums_y=", ".join(f"sum(y{m})" for m in range(harmonics)),
    )


def _row(irreps: tuple[Irrep, ...], wanted: Irrep) -> int:
    return dimension(irreps[: irreps.index(wanted)])


def _pre_row(out: tuple[Irrep, ...], n_gates: int, ir: Irrep) -> int:
    """Row before the gate: the scalar, the gates, the other irreps in their order."""
    return 0 if ir == SCALAR else n_gates + _row(out, ir)


def _targets(table: PathTable, channels: int, n_species: int, n_gates: int) -> tuple[list[str], int]:
    found, row, weights = [], 0, 0
    for ir in table.irreps_out:
        paths = len(table.paths_into(ir))
        width = channels * (1 + n_gates if ir == SCALAR else 1)
        own = _row(table.irreps_in, ir) if ir in table.irreps_in else -1
        pre = _pre_row(table.irreps_out, n_gates, ir)
        found.append(f"{{{ir.dim}, {row}, {paths}, {pre}, {width}, {own}, {weights}}}")
        row += paths * ir.dim
        weights += (paths + (n_species if own >= 0 else 0)) * channels * width
    return found, weights


def _gate(out: tuple[Irrep, ...], gated: list[Irrep], ir: Irrep) -> str:
    gate = "SILU_ROW" if ir == SCALAR else "TANH_ROW" if ir.l == 0 else 1 + gated.index(ir)
    return f"{{{ir.dim}, {_row(out, ir)}, {_pre_row(out, len(gated), ir)}, {gate}}}"


def _scatter(group: list[PathCode]) -> str:
    """With q = R^T g: dh += w q, dw = h . q; and dE/dY through S[k, m1] = sum_u w g_k h_m1."""
    entries = group[0].entries
    lines = [
        f"  {{ V {', '.join(f's{e.k}_{e.m1} = {{}}' for e in entries)};",
        "    for (int64_t u = 0; u < U; u += LANES) {",
        "      const T *h_ = h + u, *g_ = g + u, *c_ = c + u;",
        "      T* d_ = dh + u;",
    ]
    for path in group:
        p, rows, columns = path.number, {e.k for e in entries}, {e.m1 for e in entries}
        lines += [
            f"      {{ {_knots(p)}",
            f"        const V w = {_spline('b')};",
            "        V dw = {};",
        ]
        lines += [f"        const V g{k} = G({path.row + k});" for k in sorted(rows)]
        lines += [f"        const V wg{k} = w * g{k};" for k in sorted(rows)]
        for m1 in sorted(columns):
            mine = [e for e in entries if e.m1 == m1]
            q = " + ".join(f"R[{e.index}] * g{e.k}" for e in mine)
            sums = " ".join(f"s{e.k}_{m1} += wg{e.k} * x;" for e in mine)
            lines.append(
                f"        {{ const V x = H({path.column + m1}), q = {q}; "
                f"D({path.column + m1}) += w * q; dw += x * q; {sums} }}"
            )
        lines.append(f"        r += ({_spline('t')}) * dw; }}")
    lines.append("    }")
    for m2 in sorted({m for e in entries for m, _ in e.terms}):
        terms = " + ".join(f"T({c:.17g}) * s{e.k}_{e.m1}" for e in entries for m, c in e.terms if m == m2)
        lines.append(f"    y{m2} += {terms};")
    return "\n".join([*lines, "  }"])


def _dual_gather(path: PathCode) -> str:
    """With q = R h: out += w q, outd += wd q + w (R hd + Rd h)."""
    lines = [
        f"    {{ {_knots(path.number)}",
        f"      const V w = {_spline('b')}, wd = {_spline('t')};",
    ]
    for k in range(path.dim):
        mine = [(e.index, path.column + e.m1) for e in path.entries if e.k == k]
        if mine:
            q = " + ".join(f"R[{i}] * H({m})" for i, m in mine)
            tangent = " + ".join(f"R[{i}] * HD({m}) + S[{i}] * H({m})" for i, m in mine)
            row = path.row + k
            lines.append(
                f"      {{ const V q = {q}; O({row}) += w * q; OD({row}) += wd * q + w * ({tangent}); }}"
            )
    return "\n".join([*lines, "    }"])


def _dual_scatter(path: PathCode) -> str:
    """With q = R^T g, qd = R^T gd, s = q + Rd^T gd:

    dh += w s + wd qd, dhd += w qd, dw = h . s + hd . qd, dwd = h . qd; b_j dw + t_j dwd to coefficient j.
    """
    p, rows = path.number, sorted({e.k for e in path.entries})
    lines = [
        f"    {{ {_knots(p)}",
        f"      const V w = {_spline('b')}, wd = {_spline('t')};",
        f"      const V {', '.join(f'g{k} = G({path.row + k}), gd{k} = GD({path.row + k})' for k in rows)};",
        "      V dw = {}, dwd = {};",
    ]
    for m1 in sorted({e.m1 for e in path.entries}):
        mine, m = [e for e in path.entries if e.m1 == m1], path.column + m1
        tangent = " + ".join(f"R[{e.index}] * gd{e.k}" for e in mine)
        both = " + ".join(f"R[{e.index}] * g{e.k} + S[{e.index}] * gd{e.k}" for e in mine)
        lines.append(
            f"      {{ const V x = H({m}), xd = HD({m}), qd = {tangent}, s = {both};\n"
            f"        D({m}) += w * s + wd * qd; DD({m}) += w * qd; dw += x * s + xd * qd; dwd += x * qd; }}"
        )
    lines += [f"      GRADIENT({j}, {p}) += b{j} * dw + t{j} * dwd;" for j in range(4)]
    return "\n".join([*lines, "    }"])


def _knots(path: int) -> str:
    return f"const V {', '.join(f'k{j} = KNOT({j}, {path})' for j in range(4))};"


def _spline(basis: str) -> str:
    return " + ".join(f"{basis}{j} * k{j}" for j in range(4))
