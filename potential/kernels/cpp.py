"""What C++ of all kernels begins with, and the pieces of generated code that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import torch

from potential.kernels.arguments import Entry
from potential.kernels.couplings import PathCode, entry_count
from potential.kernels.layout import Gate, Matrix, Source
from potential.nequip.products import Term

Row = Source | Matrix | Gate | Term
NAMES = {torch.float32: "float", torch.float64: "double"}


def prelude(
    dtype: torch.dtype, constants: Mapping[str, int], codes: list[PathCode], entries: Sequence[Entry]
) -> str:
    """The number type T, the sizes, and the structs of the arguments of `entries`."""
    sizes = {**constants, "N_R": entry_count(codes)}
    return "\n".join(
        [
            "#include <array>",
            "#include <cstdint>",
            f"typedef {NAMES[dtype]} T;",
            *(f"constexpr int64_t {name} = {value};" for name, value in sizes.items()),
            *dict.fromkeys(group.struct() for entry in entries for group in entry.groups),
            *(entry.struct() for entry in entries),
        ]
    )


def struct(row: type[Row]) -> str:
    """The struct of the rows of a table; a number with a fraction is a T."""
    kinds = {"int": "int64_t", "float": "T"}
    return f"struct {row.__name__} {{ {' '.join(f'{kinds[str(f.type)]} {f.name};' for f in fields(row))} }};"


def table(name: str, row: type[Row], rows: Sequence[Row]) -> str:
    """The array `name` of rows; it may be empty."""
    numbers = ", ".join(f"{{{', '.join(f'{x:.17g}' for x in astuple(r))}}}" for r in rows)
    return f"constexpr std::array<{row.__name__}, {len(rows)}> {name} = {{{{{numbers}}}}};"


def template(name: str, **generated: Sequence[str]) -> str:
    """C++ from a file beside this one, with lines of code for its comments `// generated: name`."""
    code = (Path(__file__).parent / name).read_text()
    for key, lines in generated.items():
        before, after = code.split(f"// generated: {key}\n")
        code = before + "\n".join(["", *lines, ""]) + after
    return code


def rotation(codes: list[PathCode], n_harmonics: int) -> str:
    """R[k, m1] = sum_m2 C[m2, k, m1] Y[m2], over the contiguous range of entries that each m2 touches."""
    order = sorted({e.index: e for code in codes for e in code.entries}.items())
    lines = [
        "static inline void rotation(const T* __restrict__ Y, T* __restrict__ R) {",
        "  std::memset(R, 0, N_R * sizeof(T));",
    ]
    for m2 in range(n_harmonics):
        touched = [index for index, e in order if any(m == m2 for m, _ in e.terms)]
        if not touched:
            continue
        first, last = min(touched), max(touched) + 1
        values = [dict(e.terms).get(m2, 0.0) for index, e in order if first <= index < last]
        numbers = ", ".join(f"{v:.17g}" for v in values)
        lines.append(
            f"  {{ static const T c[] = {{{numbers}}}; const T y = Y[{m2}];\n"
            f"    for (int i = 0; i < {last - first}; ++i) R[{first} + i] += y * c[i]; }}"
        )
    return "\n".join([*lines, "}"])


def gather(path: PathCode, weight: str) -> list[str]:
    """o += w R h of one path, at the channels of one vector."""
    lines = [f"  {{ const V w = {weight};"]
    for k in range(path.dim):
        terms = [f"R[{e.index}] * {at('h', path.column + e.m1)}" for e in path.entries if e.k == k]
        if terms:
            lines.append(f"    {add('o', path.row + k)} w * ({' + '.join(terms)});")
    return [*lines, "  }"]


def at(array: str, row: int | str) -> str:
    """A row of an array, at the channels of one vector."""
    return f"*(const V*)({array}_ + {row} * U)"


def add(array: str, row: int | str) -> str:
    return f"*(V*)({array}_ + {row} * U) +="


def by_harmonics(group: list[PathCode]) -> list[str]:
    """y[m2] += sum C[m2, k, m1] S[k, m1] from the sums S over the paths of equal degrees."""
    entries, lines = group[0].entries, []
    for m2 in sorted({m for e in entries for m, _ in e.terms}):
        terms = " + ".join(f"T({c:.17g}) * s{e.k}_{e.m1}" for e in entries for m, c in e.terms if m == m2)
        lines.append(f"    y{m2} += {terms};")
    return lines


def zeros(prefix: str, n: int) -> str:
    return ", ".join(f"{prefix}{i} = {{}}" for i in range(n))


def sums(prefix: str, n: int) -> str:
    return ", ".join(f"sum({prefix}{i})" for i in range(n))
