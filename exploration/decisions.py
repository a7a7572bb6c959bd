"""What a selection says of each recorded frame: selected or rejected, at which stage, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where in a selection it was decided on a frame; `stage` in selection.csv.

    Attributes:
        selects: whether a frame decided here is labelled.
        description: why, for any frame decided here; reports show it.
    """

    selects: bool
    description: str

    def __new__(cls, name: str, selects: bool, description: str) -> Stage:
        member = str.__new__(cls, name)
        member._value_ = name
        member.selects, member.description = selects, description
        return member

    FARTHEST_POINT = "farthest_point", True, "far from all labelled frames and from each other"
    TOP = "top", True, "among the most uncertain"
    FAILURE = "failure", True, "one of the last frames before a replica stopped"
    LARGEST_CLUSTER = "largest_cluster", True, "farthest in the largest cluster of unknown frames"
    WEIGHTED_DRAW = "weighted_draw", True, "drawn by its uncertainty and its distance from what is known"
    DRAW = "draw", True, "drawn at random"
    QUIET = "quiet", True, "the committee agrees: labelled to see whether it is right"
    FILL = "fill", True, "too few candidates: the most uncertain of the frames agreed on"
    BAND = "band", False, "the committee agrees: nothing to learn"
    FILTER = "filter", False, "unphysical, or too uncertain to be worth a label"
    THIN = "thin", False, "more frames than are compared: left out at random"
    DUPLICATE = "duplicate", False, "nearly the same as a labelled or picked frame"
    CAP = "cap", False, "over the budget of the round"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """On one recorded frame.

    Attributes:
        stage: where it was decided.
        reason: for this very frame, in numbers.
        rank: from 1 in the order of the picks; None for a rejected frame.
        distance: from what was known, in descriptors; NaN where it was not measured.
    """

    stage: Stage
    reason: str
    rank: int | None = None
    distance: float = float("nan")

    def __post_init__(self) -> None:
        assert self.stage.selects == (self.rank is not None), f"a rank goes with a selecting stage: {self}"


Decisions = dict[int, Decision]
"""By row of the ledger."""


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a strategy answers.

    Attributes:
        decisions: one for every row of the ledger.
        warnings: what a user should know, such as a round that could not be filled.
    """

    decisions: Mapping[int, Decision]
    warnings: tuple[str, ...] = ()


def picks(decisions: Mapping[int, Decision]) -> list[int]:
    """The rows that were selected, by rank."""
    ranked = {row: decision.rank for row, decision in decisions.items() if decision.rank is not None}
    return sorted(ranked, key=ranked.__getitem__)
