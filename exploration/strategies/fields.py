"""Settings that strategies have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

FramesPerRound = Annotated[
    int, Field(ge=1, le=1_000_000, description="labels of each round, at most; a million is none too few")
]
DuplicateTolerance = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        description="frames in which no interatomic distance differs by more than this are duplicates, "
        "Angstrom",
    ),
]
ByTemperature = Annotated[
    bool,
    Field(
        description="the rungs of the temperature ladder take turns; else nearly all labels are of the "
        "hottest, which costs accuracy at the others"
    ),
]
QuietShare = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="part of each round's labels for frames on which the committee agrees, drawn at random: "
        "members may agree and be wrong",
    ),
]
FillWithAccurate = Annotated[
    bool,
    Field(description="with too few candidates, label the most uncertain frames of those agreed on, too"),
]
MaxConsidered = Annotated[
    int,
    Field(
        ge=1,
        le=100_000,
        description="frames compared with each other, all with all; more are thinned at random first, to "
        "no fewer than twice frames_per_round",
    ),
]


def considered(most: int, frames_per_round: int) -> int:
    """How many frames a strategy compares: `max_considered`, and enough to choose from."""
    return max(most, 2 * frames_per_round)
