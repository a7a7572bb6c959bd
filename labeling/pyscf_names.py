"""The names of basis sets that PySCF's own tables hold: no other text may reach its readers.

PySCF takes a text that is no name for a file's path, or for the basis set itself, and evaluates as Python
the numbers in it that it cannot read. A level of theory comes from a YAML file, or from a file with labels,
and neither is a program.

PySCF is imported inside the functions: reading a config with another labeler does not load it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 200
POPLE = re.compile(r"(\d{3,4}\+{0,2}g\*{0,2})(\((\d?[spdf])+(,(\d?[spdf])+)?\))?")
TRUNCATION = re.compile(r"(\d+[a-z])+")  # cc-pVTZ@3s2p1d, contracted to fewer functions


def plain(name: str) -> str:
    """A basis or pseudopotential as PySCF compares the names."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def is_basis(name: str) -> bool:
    """Whether PySCF's table of basis sets, and of the core potentials that belong to them, has it."""
    from pyscf.gto.basis import ALIAS

    stem, at, truncation = name.partition("@")
    if at and not TRUNCATION.fullmatch(truncation.lower()):
        return False
    pople = POPLE.fullmatch(plain(stem))
    return not is_file(stem) and (plain(stem) in ALIAS or (pople is not None and pople[1] in ALIAS))


def is_crystal_basis(name: str) -> bool:
    """Whether PySCF's table of basis sets for GTH pseudopotentials has it."""
    from pyscf.gto.basis import GTH_ALIAS

    return not is_file(name) and plain(name) in GTH_ALIAS


def is_pseudopotential(name: str) -> bool:
    """Whether PySCF's table of GTH pseudopotentials has it."""
    from pyscf.gto.basis import PP_ALIAS

    return not is_file(name) and plain(name) in PP_ALIAS


def is_file(name: str) -> bool:
    """Whether PySCF would read a file of this name instead of its table."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def check_texts(**fields: Any) -> None:
    """Raise ValueError unless every text, or every text of a mapping, could be a name.

    It asks nothing of PySCF, and is what a level of theory from a file with labels must pass.
    """
    for field, value in fields.items():
        texts = [*value, *value.values()] if isinstance(value, Mapping) else [value]
        for text in texts:
            if isinstance(text, str) and (
                len(text) > LONGEST or not text.isascii() or not text.isprintable()
            ):
                raise ValueError(
                    f"{field}: {text[:40]!r}... is no name of at most {LONGEST} letters on one line; basis "
                    "sets and functionals are known by name, and texts or files with their data are not read"
                )


def advice_on_files(name: str) -> str:
    """What to do about a name that is a path, or that a file in the current folder has."""
    if is_file(name):
        return (
            f"; {name!r} is a file, and basis sets are not read from files: give a name, or rename the file"
        )
    return ""
