"""Whether a person sees each round's selection before it is labelled, and what happens if nobody does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from potential.data.config import Config

GATE = "before_labels"


class ReviewConfig(Config):
    """The campaign stops after each selection, until it is approved, in part or whole, or rejected."""

    gate: Annotated[Literal["before_labels"], Field(description="where it stops")] = "before_labels"
    time_out_hours: Annotated[
        float | None,
        Field(gt=0, le=87_600, description="how long it waits at most; null: as long as it takes"),
    ] = None
    then: Annotated[
        Literal["approve", "reject"] | None, Field(description="what counts as said after the time-out")
    ] = None

    @model_validator(mode="after")
    def _both_or_none(self) -> ReviewConfig:
        if (self.time_out_hours is None) != (self.then is None):
            raise ValueError(
                "a time-out is two settings: write e.g. time_out_hours: 48 and then: approve, or neither"
            )
        return self


def _from_word(value: Any) -> Any:
    """`before_labels` alone, and `off`, which YAML reads as false."""
    if value is False or value == "off":
        return None
    return {"gate": value} if isinstance(value, str) else value


Review = Annotated[ReviewConfig | None, BeforeValidator(_from_word)]
