"""Which of the explored frames are labelled: one strategy a file, all in one union.

A strategy is a frozen config with a tag `strategy`, `frames_per_round` and one function,
`decide(pool, *, seed) -> Decided`, that says selected or rejected, and why, of every row of the ledger.
Those that choose among the candidates say only how they pick (`AmongCandidates`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from exploration.strategies.diverse import Diverse
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.lcmd import LargestCluster
from exploration.strategies.point_of_failure import PointOfFailure
from exploration.strategies.random_draw import RandomDraw
from exploration.strategies.uncertain import Uncertain
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse


def _named(settings: Any) -> Any:
    """Settings that do not say which strategy they are for are those of the first one there was."""
    if isinstance(settings, dict) and "strategy" not in settings:
        return {"strategy": UncertainAndDiverse().strategy} | settings
    return settings


def _any_of(schema: dict[str, Any]) -> None:
    """Settings without a tag fit several strategies, so a JSON schema must not ask for just one."""
    schema.pop("discriminator", None)
    schema["anyOf"] = schema.pop("oneOf")


Strategy = Annotated[
    UncertainAndDiverse | Uncertain | LargestCluster | WeightedKMeans | PointOfFailure | Diverse | RandomDraw,
    Field(discriminator="strategy", json_schema_extra=_any_of),
    BeforeValidator(_named),
]
