"""What a label cost: wall time by stage, as its provenance keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STAGES = {
    "scf": "SCF",
    "gradient": "gradient",
    "stress": "stress",
    "stability": "stability analysis",
    "second_guess": "second guess",
    "failed_attempts": "failed attempts",
    "other": "other",
}
"""Stages of a label and what to call them, in their order."""


def stage_seconds(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by stage; together they are `provenance["seconds"]`, what no stage claims is `other`."""
    found = {stage: float(provenance.get(f"{stage}_seconds", 0.0)) for stage in STAGES}
    rest = float(provenance.get("seconds", 0.0)) - sum(found.values())
    return {**found, "other": max(rest, 0.0)}


def with_seconds(provenance: Mapping[str, Any], stage: str, seconds: float) -> dict[str, Any]:
    """The provenance of a label that cost so many seconds more, spent in `stage`."""
    return {
        **provenance,
        f"{stage}_seconds": provenance.get(f"{stage}_seconds", 0.0) + seconds,
        "seconds": provenance.get("seconds", 0.0) + seconds,
    }
