"""C++ source of the convolution's three primitives, generated from a `PathTable`.

With the four-form of the convolution (design: it is linear in each of h, Y, w, g)

  Phi(h, Y, w, g) = sum_e sum_p sum_u w[e,p,u] sum_{k,m1} g[recv(e),(p,k),u] R_p[k,m1](Y_e) h[send(e),m1,u]
  R_p[k,m1](Y_e)  = sum_m2 C^p[m2,k,m1] Y[e,m2]

the primitives are its derivatives: F = dPhi/dg, B = dPhi/dh, A = (dPhi/dw, dPhi/dY). One pass over
the edges each; no intermediate with an axis of edges times rows is ever stored. Channels are the
SIMD axis. F and A own the edges of a receiver (rows of the CSR), B those of a sender (rows of the
transposed CSR), so no two threads write to one place. The loops are in `convolution.cpp`.
"""

from __future__ import annotations

import torch

from potential.kernels import cpp
from potential.kernels.arguments import Array, Entry
from potential.kernels.couplings import PathCode, by_degrees, path_codes
from potential.nequip.irreps import PathTable, dimension

_SIZES = ("members", "atoms", "edges", "copies")
_FEATURES, _ROWS = "members atoms M U", "members atoms ROWS U"
_HARMONICS, _PATHS = Array("y", "copies edges Q"), Array("w", "members edges P U")
_ROW, _SEND = Array("row", "atoms+1", "index"), Array("send", "edges", "index")
_COLUMN, _ORDER = Array("column", "atoms+1", "index"), Array("order", "edges", "index")
_RECEIVE = Array("receive", "edges", "index")

FORWARD = Entry(
    "forward",
    (Array("h", _FEATURES), _HARMONICS, _PATHS, Array("out", _ROWS, "write"), _ROW, _SEND),
    _SIZES,
)
BACKWARD = Entry(
    "backward",
    (Array("g", _ROWS), _HARMONICS, _PATHS, Array("out", _FEATURES, "write"), _COLUMN, _ORDER, _RECEIVE),
    _SIZES,
)
ADJOINT = Entry(
    "adjoint",
    (
        Array("h", _FEATURES),
        _HARMONICS,
        _PATHS,
        Array("g", _ROWS),
        Array("dw", "members edges P U", "write"),
        Array("dy", "members edges Q", "write"),
        *(_ROW, _SEND, _RECEIVE),
    ),
    _SIZES,
)
ENTRIES = (FORWARD, BACKWARD, ADJOINT)


def constants(table: PathTable, channels: int) -> dict[str, int]:
    """Sizes by the names that the C++ and the shapes of arguments have for them."""
    return {
        "U": channels,
        "M": dimension(table.irreps_in),
        "ROWS": table.rows,
        "P": len(table.paths),
        "Q": (table.l_max + 1) ** 2,
    }


def convolution_source(table: PathTable, channels: int, dtype: torch.dtype) -> str:
    """C++ of F, B and A for `channels` channels."""
    codes, sizes = path_codes(table), constants(table, channels)
    return "\n".join(
        [
            cpp.prelude(dtype, sizes, codes, ENTRIES),
            cpp.template("vector.h"),
            cpp.rotation(codes, sizes["Q"]),
            cpp.template(
                "convolution.cpp",
                gather=[line for path in codes for line in cpp.gather(path, cpp.at("w", path.number))],
                scatter=[line for path in codes for line in _backward(path)],
                slopes=[
                    f"  V {cpp.zeros('y', sizes['Q'])};",
                    *(line for group in by_degrees(codes) for line in _adjoint(group)),
                    "  T* dy_ = dy + (m * edges + first + e) * Q;",
                    *(f"  dy_[{m}] = sum(y{m});" for m in range(sizes["Q"])),
                ],
                **{entry.name: entry.locals() for entry in ENTRIES},
            ),
        ]
    )


def _backward(path: PathCode) -> list[str]:
    lines = [f"  {{ const V w = {cpp.at('w', path.number)};"]
    lines += [f"    const V g{k} = w * {cpp.at('g', path.row + k)};" for k in range(path.dim)]
    for m1 in sorted({e.m1 for e in path.entries}):
        terms = [f"R[{e.index}] * g{e.k}" for e in path.entries if e.m1 == m1]
        lines.append(f"    d[{path.column + m1}] += {' + '.join(terms)};")
    return [*lines, "  }"]


def _adjoint(group: list[PathCode]) -> list[str]:
    """dw of each path, and dY through S[k, m1] = sum_u w g_k h_m1, which paths of equal degrees share."""
    lines = [
        f"  {{ V {', '.join(f's{e.k}_{e.m1} = {{}}' for e in group[0].entries)};",
        "    for (int64_t u = 0; u < U; u += LANES) {",
        "      const T* h_ = h + (m * atoms + send[first + e]) * M * U + u;",
        "      const T* w_ = w + (m * edges + first + e) * P * U + u;",
        "      const T* g_ = g + (m * atoms + i) * ROWS * U + u;",
        "      T* dw_ = dw + (m * edges + first + e) * P * U + u;",
    ]
    for path in group:
        lines.append(f"      {{ const V w = {cpp.at('w', path.number)}; V total = {{}};")
        for k in sorted({e.k for e in path.entries}):
            mine = [e for e in path.entries if e.k == k]
            terms = " + ".join(f"R[{e.index}] * {cpp.at('h', path.column + e.m1)}" for e in mine)
            sums = " ".join(f"s{k}_{e.m1} += wg * {cpp.at('h', path.column + e.m1)};" for e in mine)
            lines.append(
                f"        {{ const V g = {cpp.at('g', path.row + k)}, wg = w * g; "
                f"total += g * ({terms}); {sums} }}"
            )
        lines.append(f"        *(V*)(dw_ + {path.number} * U) = total; }}")
    return [*lines, "    }", *cpp.by_harmonics(group), "  }"]
