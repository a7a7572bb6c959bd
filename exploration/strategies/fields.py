"""Settings that strategies have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveInt

FramesPerRound = Annotated[PositiveInt, Field(description="labels of each round, at most")]
DuplicateTolerance = Annotated[
    NonNegativeFloat,
    Field(
        description="frames in which no interatomic distance differs by more than this are duplicates, "
        "Angstrom"
    ),
]
MaxConsidered = Annotated[
    PositiveInt,
    Field(description="frames compared with each other; more are thinned at random first"),
]
