"""Seals: a digest in what this project writes and reads again, by which damage and careless edits show.

Whoever alters a file and computes its digest anew is not found. A file without one is of an older version,
and read as it is. What differs each time though nothing else does, as how long it took, may be no part of
the digest: equal results then have equal digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

SEAL = "digest"
ALTERED = "it was altered: its digest is not its own"


def sealed(content: Mapping[str, Any], *, aside: Collection[str] = ()) -> str:
    """JSON of a record with its digest, of which keys named `aside` are no part, wherever they stand."""
    return json.dumps({SEAL: _digest(content, aside), **content}, indent=2)


def unsealed(text: bytes | str, *, aside: Collection[str] = ()) -> dict[str, Any]:
    """The record, without its digest.

    Raises:
        ValueError: where it is no JSON object, or was altered.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    said = content.pop(SEAL, None)
    if said not in (None, _digest(content, aside)):
        raise ValueError(ALTERED)
    return content


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Over names, types, shapes and numbers."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _digest(content: Mapping[str, Any], aside: Collection[str]) -> str:
    return hashlib.sha256(json.dumps(_without(aside, content), sort_keys=True).encode()).hexdigest()


def _without(keys: Collection[str], value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _without(keys, item) for key, item in value.items() if key not in keys}
        case list():
            return [_without(keys, item) for item in value]
        case _:
            return value
