"""Where a label was made, and with which versions."""

from __future__ import annotations

import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def where_and_with(*distributions: str) -> dict[str, Any]:
    """`{"host": ..., "versions": {...}}`, for `Label.provenance`; None for one that is not installed."""
    return {
        "host": socket.gethostname(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in distributions}},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
