"""Levels of theory as files with labels tell them: read, named and hashed, but never computed at.

Whoever wrote the file chose what is in it, so nothing of it is shown to PySCF, not even to ask whether PySCF
knows it.
"""

from __future__ import annotations

from typing import Any

RECORDED = {"recorded": True}
"""The context in which pydantic validates such a level."""


def is_recorded(info: Any) -> bool:
    """Whether pydantic's `ValidationInfo` says so (a protocol, which beartype cannot check)."""
    recorded: bool = info.context is RECORDED
    return recorded
