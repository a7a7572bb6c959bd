"""XYZ and extended XYZ, read strictly: every line of the file belongs to a structure. Free of torch.

ASE parses the single structure. What it does not look at is checked here: that the structures follow one
another without a gap (ASE stops at the first empty line), and that every column has a name.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from ase import Atoms
from ase.io.extxyz import read_xyz

from potential.data.notes import StructureWarning
from potential.data.xyz_comment import key_values, reserved_for

COMMENT = "comment"


@dataclass(frozen=True)
class _Part:
    comment: str
    rows: list[str]
    text: str


def read_structures(text: str, wanted: slice) -> list[Atoms]:
    """The structures of a file's text; the comment of one without key-value pairs is in its `info`.

    Raises:
        ValueError: names the structure and what is wrong with it.
    """
    parts = list(_split(text))
    found = []
    for i in range(len(parts))[wanted]:
        try:
            found.append(_parse(parts[i]))
        except Exception as error:  # ASE raises whatever it stumbles over
            raise ValueError(f"structure {i}: {_explained(error, parts[i])}") from error
    return found


def _split(text: str) -> Iterator[_Part]:
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    at = number = 0
    while at < len(lines):
        if not lines[at].strip():
            rest = next((k for k in range(at, len(lines)) if lines[k].strip()), None)
            if rest is None:
                return
            raise ValueError(
                f"line {at + 1} is empty and line {rest + 1} goes on with {lines[rest].strip()[:40]!r}; "
                "structures follow one another without a gap: remove the empty line, or what comes after it"
            )
        try:
            n_atoms = int(lines[at].replace("_", "x"))  # Python takes 1_0 for 10
        except ValueError:
            raise ValueError(
                f"line {at + 1} is {lines[at].strip()[:40]!r}, expected the number of atoms of structure "
                f"{number}"
            ) from None
        end = at + 2 + n_atoms
        if n_atoms < 1 or end > len(lines):
            raise ValueError(
                f"structure {number} has {max(len(lines) - at - 2, 0)} rows, and line {at + 1} says "
                f"{n_atoms} atoms; the file is cut off: remove this structure"
                if n_atoms > 0
                else f"line {at + 1} says {n_atoms} atoms; a structure has at least one"
            )
        vectors = end
        while vectors < len(lines) and lines[vectors].lstrip().startswith("VEC"):
            vectors += 1
        part = lines[at:vectors]
        yield _Part(part[1] if len(part) > 1 else "", part[2 : 2 + n_atoms], "\n".join(part) + "\n")
        at, number = vectors, number + 1


def _parse(part: _Part) -> Atoms:
    _check_columns(part)
    atoms: Atoms
    (atoms,) = read_xyz(io.StringIO(part.text), index=slice(None), properties_parser=key_values)
    _refuse_two_species(atoms, part)
    if "=" not in part.comment:
        atoms.info = {COMMENT: part.comment.strip()} if part.comment.strip() else {}
    for key in atoms.info:
        if plain := reserved_for(str(key)):
            raise ValueError(f"{key}= is not read in an extended XYZ file; write {plain} for it")
    return atoms


def _refuse_two_species(atoms: Atoms, part: _Part) -> None:
    """ASE takes the atomic numbers and forgets the symbols."""
    given = (re.search(r'Properties\s*=\s*"?([^\s"]+)', part.comment) or ["", ""])[1].split(":")
    if "species" not in given or not {"Z", "numbers"} & {*given[::3]}:
        return
    at = sum(int(n) for n in given[2 : given.index("species") : 3])
    for k, (row, symbol) in enumerate(zip(part.rows, atoms.symbols, strict=True)):
        if (said := row.split()[at]).capitalize() != symbol:
            raise ValueError(
                f"atom {k} is {said} by its symbol and {symbol} by its number; remove one of them"
            )


def _check_columns(part: _Part) -> None:
    given = re.search(r'Properties\s*=\s*"?([^\s"]+)', part.comment)
    columns = (given[1] if given else "species:S:1:pos:R:3").split(":")
    names, kinds, widths = columns[::3], columns[1::3], [int(n) for n in columns[2::3]]
    if not {"pos", "positions"} & {*names}:
        raise ValueError(f"no column pos:R:3 with the positions in Å; it has {', '.join(names)}")
    in_words = [kind.upper() == "S" for kind, n in zip(kinds, widths, strict=True) for _ in range(n)]
    expected = sum(widths)
    for k, row in enumerate(part.rows):
        if (n := len(row.split())) < expected:
            raise ValueError(
                f"the row of atom {k} has {n} columns, expected {expected}: {row.strip()[:80]!r}; the file "
                "is cut off or damaged: remove this structure"
            )
        if n > expected:
            message = (
                f"the row of atom {k} has {n} columns, and {expected} have a name; name them all in the "
                "comment line, e.g. Properties=species:S:1:pos:R:3:forces:R:3"
            )
            if given:
                raise ValueError(message)
            warnings.warn(f"columns without a name are not read: {message}", StructureWarning, stacklevel=2)
            return
        for word, is_word in zip(row.split(), in_words, strict=False):
            if "_" in word and not is_word:  # Python takes 0_96 for 96
                raise ValueError(f"the row of atom {k} has {word!r}, expected a number")


def _explained(error: Exception, part: _Part) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if isinstance(error, KeyError):
        return unknown_species(str(error.args[0]))
    if "special 3x3" in reason and "Lattice" in reason:
        given = re.search(r'Lattice\s*=\s*"?([^"]*)', part.comment)
        return f"Lattice is {given[1] if given else ''!r}, expected 9 numbers, three vectors in Å"
    for k, row in enumerate(part.rows):
        if "*" in row:
            return f"atom {k} has {row.strip()[:80]!r}: a number overflowed when it was written; remove it"
    return reason


def unknown_species(symbol: str) -> str:
    """What to say of a symbol that is no element."""
    if symbol in ("D", "T"):
        return (
            f"the species {symbol} is an isotope of hydrogen; frames carry no isotopes, and energies and "
            "forces do not depend on them: write H"
        )
    return f"{symbol!r} is no chemical element"
