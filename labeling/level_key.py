"""The key of a level of theory: a hash of its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def level_key(settings: Mapping[str, Any]) -> str:
    """12 hex digits; the same for equal JSON content in any order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
