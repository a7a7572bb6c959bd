"""The comment line of an extended XYZ file, read as ASE does, but strictly. Free of torch.

ASE takes the last of two values of one key, any text for a periodicity, and ids for numbers.
"""

from __future__ import annotations

import re

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

SIX = re.compile(r"(?<!\S)(virial|stress)=")
PAIR = re.compile(r"""(?<!\S)([\w.:-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'{\[]\S*))(?!\S)""")
NAME = re.compile(r"(?i)(.*_)?(id|name|label|key|tag|hash|uuid|config_type)")
"""Keys of names: what they hold stays text."""
CHANGED = re.compile(r"[+-]?0\d+|[+-]?\d+(_\d+)+")
"""What Python takes for an integer and would write in another way."""
WRITTEN = {"lattice": 'Lattice="..."', "pbc": 'pbc="T T F"'}
LATTICE_LIKE = ("lattice", "cell", "unitcell", "box")
PBC_LIKE = ("pbc", "pbcs")


def key_values(line: str) -> dict[str, object]:
    """The pairs of a line; names, and numbers that would not be written so again, stay text.

    Raises:
        ValueError: for a key with two values, a periodicity that is none, or a virial or stress of another
            length than 6 or 9.
    """
    told: dict[str, str] = {}
    for key, *values in PAIR.findall(line):
        value = next(filter(None, values), "")
        if told.setdefault(key, value) != value:
            raise ValueError(f"{key} is given twice, as {told[key]!r} and {value!r}; remove one of them")
    found = _by_ase(line)
    for key, value in told.items():
        if key in found and not isinstance(found[key], str) and _is_text(key, value):
            found[key] = value
    if "pbc" in found:
        _check_pbc(found["pbc"])
    return found


def reserved_for(key: str) -> str | None:
    """How to write what a key seems to mean, the cell or the periodicity; None for other keys."""
    bare = re.sub(r"[^a-z]", "", key.lower())
    meant = "lattice" if bare in LATTICE_LIKE else "pbc" if bare in PBC_LIKE else ""
    return WRITTEN.get(meant)


def _is_text(key: str, value: str) -> bool:
    return bool(NAME.fullmatch(key) or CHANGED.fullmatch(value))


def _check_pbc(given: object) -> None:
    values = np.ravel(np.asarray(given))
    if values.size not in (1, 3) or values.dtype.kind not in "bi" or not np.isin(values, (0, 1)).all():
        raise ValueError(f'pbc is {given!r}, expected T or F for each lattice vector, as in pbc="T T F"')


def _by_ase(line: str) -> dict[str, object]:
    try:
        return dict(key_val_str_to_dict(line))
    except ValueError as error:
        if "special 3x3" not in str(error) or "Lattice" in str(error):
            raise
    info = dict(key_val_str_to_dict(SIX.sub(r"\1_of_six=", line)))
    for key in ("virial", "stress"):
        if (values := info.pop(f"{key}_of_six", None)) is not None:
            numbers = np.asarray(values)
            if numbers.size not in (6, 9) or numbers.dtype.kind not in "if":
                raise ValueError(f"{key} is {values!r}, expected 6 or 9 numbers")
            info[key] = numbers.reshape((3, 3), order="F") if numbers.size == 9 else numbers
    return info
