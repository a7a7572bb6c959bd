"""JSON in the comment line of extended XYZ. Free of torch."""

from __future__ import annotations

import json
from typing import Any

CODES = (("%", "%25"), ("\\", "%5C"), ("'", "%27"), ('"', "'"))


def encode_json(values: dict[str, Any]) -> str:
    """JSON that survives extxyz, whose readers drop backslashes and end a value at a double quote."""
    text = json.dumps(values)
    for char, code in CODES:
        text = text.replace(char, code)
    return text


def decode_json(text: str | dict[str, Any]) -> dict[str, Any]:
    """What `encode_json` wrote; ASE's reader may have parsed it already."""
    if isinstance(text, dict):
        return text
    for char, code in reversed(CODES):
        text = text.replace(code, char)
    return dict(json.loads(text))
