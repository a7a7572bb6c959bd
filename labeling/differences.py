"""Two levels of theory, and what is different: by their settings, not by their hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from labeling.level import LevelOfTheory, settings
from labeling.recorded import RECORDED

LEVELS: TypeAdapter[LevelOfTheory] = TypeAdapter(LevelOfTheory)


def recorded_level(settings: Any) -> LevelOfTheory:
    """A level of theory as a label or a campaign tells it; never shown to PySCF.

    Raises:
        ValidationError: where it is none.
    """
    return LEVELS.validate_python(settings, context=RECORDED)


def differences(one: LevelOfTheory, other: LevelOfTheory) -> list[str]:
    """`["basis was def2-SVP, is now def2-TZVP"]`; empty where they are the same."""
    return [f"{name} was {was}, is now {now}" for name, was, now in differing_settings(one, other)]


def what_differs(found: LevelOfTheory, wanted: LevelOfTheory) -> str:
    """`basis def2-SVP, not def2-TZVP`; "" where they are the same."""
    return "; ".join(f"{name} {is_}, not {not_}" for name, is_, not_ in differing_settings(found, wanted))


def differing_settings(one: LevelOfTheory, other: LevelOfTheory) -> list[tuple[str, str, str]]:
    """Name, value in the one, value in the other; empty where they are the same."""
    if one.key == other.key:
        return []
    if one.labeler != other.labeler:
        return [("method", one.name, other.name)]
    first, second = settings(one), settings(other)
    return [
        (name, _shown(first.get(name)), _shown(second.get(name)))
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return json.dumps(value) if isinstance(value, Mapping) else str(value)
