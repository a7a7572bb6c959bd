"""C++ of the sums over the Clebsch-Gordan table in an interaction block, a function for each of its loops."""

from __future__ import annotations

from collections.abc import Iterable

from potential.kernels import cpp
from potential.kernels.couplings import PathCode, by_degrees


def evaluate_paths(codes: list[PathCode], n: int) -> dict[str, list[str]]:
    weights = (_sum("b", (cpp.at("c", _knot(j, path)) for j in range(4))) for path in codes)
    return {
        "gather": [line for path, w in zip(codes, weights, strict=True) for line in cpp.gather(path, w)],
        "scatter": [
            f"  V {cpp.zeros('y', n)}, r = {{}};",
            *(line for group in by_degrees(codes) for line in _scatter(group)),
            f"  const T dY[] = {{{cpp.sums('y', n)}}};",
        ],
    }


def dual_paths(codes: list[PathCode], _: int) -> dict[str, list[str]]:
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
