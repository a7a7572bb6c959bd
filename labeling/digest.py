"""A digest of what a row of the label store says, kept in the row: whatever is altered afterwards shows.

It finds damage and careless edits; whoever alters a row and computes its digest anew is not found.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

VERSION = "2"
"""Of the rule below; part of the digest. Version 1 was without `beside`."""


def digest_of(
    identity: str,
    outcome: str,
    *,
    energy: float | None,
    forces: Float64[np.ndarray, "atoms 3"] | None,
    stress: Float64[np.ndarray, "6"] | None,
    data: Mapping[str, Any] | bytes,
    beside: Mapping[str, Any],
    version: str = VERSION,
) -> str:
    """SHA-256 over identity, outcome, numbers, data and what is beside them: `2-` and 32 hex digits.

    Args:
        identity: frame id and level key, whose own content the frame id is a hash of.
        outcome: the row's status and, of failures, the kind.
        energy, forces, stress: eV, eV/Angstrom, eV/Angstrom^3 (Voigt's order); None where there are none.
        data: provenance, origin, failure and whatever else, as JSON gives it back; `digest` does not count.
            Or its canonical JSON.
        beside: what else ase.db keeps of the row, as JSON has it.
        version: 1 for a row that was written by that rule.
    """
    parts = [f"{version}\n{identity}\n{outcome}\n".encode()]
    for values in (energy, forces, stress):
        numbers = b"none" if values is None else _bytes_of(values)
        parts += (len(numbers).to_bytes(8, "little"), numbers)
    if not isinstance(data, bytes):
        data = canonical_json({key: value for key, value in data.items() if key != "digest"})
    parts.append(data)
    if version != "1":
        parts.append(canonical_json(beside))
    return f"{version}-{hashlib.sha256(b''.join(parts)).hexdigest()[:32]}"


def _bytes_of(values: float | Float64[np.ndarray, "..."]) -> bytes:
    """Of -0.0 those of 0.0, as which a database gives it back."""
    if isinstance(values, float):
        return struct.pack("<d", values + 0.0)
    return bytes((np.asarray(values, dtype="<f8") + 0.0).tobytes())


def canonical_json(value: Any) -> bytes:
    """One spelling for equal JSON values, in whatever order and however a database spells its numbers."""
    text = _ENCODER.encode(value)
    if ("e+" in text or "-0.0" in text) and _AMBIGUOUS.search(text):
        text = _ENCODER.encode(_respelled(value))
    return text.encode()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)
_AMBIGUOUS = re.compile(r"-0\.0\b(?!\d)|e\+")
"""PostgreSQL gives -0.0 back as 0.0, and 1e+20 as an integer."""


def _respelled(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value) if abs(value) >= 1e16 else value + 0.0
        case Mapping():
            return {key: _respelled(item) for key, item in value.items()}
        case list():
            return [_respelled(item) for item in value]
        case _:
            return value
