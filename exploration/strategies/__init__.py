"""Which of the explored frames are labelled: one strategy a file, all in one union.

A strategy is a frozen config with a tag `strategy`, `frames_per_round` and one function,
`decide(pool, *, seed) -> Decided`, that says selected or rejected, and why, of every row of the ledger.
Those that choose among the candidates say only how they pick (`AmongCandidates`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, WrapValidator

from exploration.strategies.diverse import Diverse
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.lcmd import LargestCluster
from exploration.strategies.point_of_failure import PointOfFailure
from exploration.strategies.random_draw import RandomDraw
from exploration.strategies.uncertain import Uncertain
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse


def _named(settings: Any, read: Callable[[Any], Any]) -> Any:
    """Settings that do not say which strategy they are for are those of the default."""
    if not isinstance(settings, dict) or "strategy" in settings:
        return read(settings)
    strategy = read({"strategy": WeightedKMeans().strategy} | settings)
    strategy.model_fields_set.discard("strategy")  # so it can be told from one that was chosen
    return strategy


def _any_of(schema: dict[str, Any]) -> None:
    """Settings without a tag fit several strategies, so a JSON schema must not ask for just one."""
    schema.pop("discriminator", None)
    schema["anyOf"] = schema.pop("oneOf")


Strategy = Annotated[
    UncertainAndDiverse | Uncertain | LargestCluster | WeightedKMeans | PointOfFailure | Diverse | RandomDraw,
    Field(discriminator="strategy", json_schema_extra=_any_of),
    WrapValidator(_named),
]


def strategy_of_record(record: Any) -> Strategy:
    """What an older version wrote: there was one strategy once, and records did not name it.

    Raises:
        ValueError: if it is no strategy's settings.
    """
    first = {"strategy": UncertainAndDiverse().strategy}
    return TypeAdapter[Strategy](Strategy).validate_python(first | record)
