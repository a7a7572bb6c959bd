"""When a campaign may stop before its last round."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from potential.data.config import Config

Share = Annotated[float, Field(ge=0, le=1)]


class StopConfig(Config):
    """A campaign has converged when all conditions that are set hold, and ends when a budget is spent."""

    force_error_meV_per_A: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e6,
            description="force MAE at most this, on the frozen test and as expected of explored frames",
        ),
    ] = None
    candidate_share: Annotated[
        Share | None, Field(description="at most this share of the explored frames are candidates")
    ] = None
    survival: Annotated[
        Share | None, Field(description="at least this share of the replicas runs to its end")
    ] = None
    flat_gain: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="the last round gained less than this share of the test error, surely (95 %)",
        ),
    ] = None
    max_labels: Annotated[
        int | None,
        Field(ge=1, le=1_000_000_000, description="budget: labels to learn from, those of the start too"),
    ] = None
    max_hours: Annotated[
        float | None,
        Field(gt=0, le=1e7, description="budget: hours of labels, of training and of exploration together"),
    ] = None
    price_per_hour: Annotated[
        float | None, Field(gt=0, le=1e6, description="of such an hour, in any currency")
    ] = None
    max_cost: Annotated[
        float | None, Field(gt=0, le=1e12, description="budget: hours times price_per_hour")
    ] = None

    @property
    def hours(self) -> float | None:
        """The smaller of the budgets in hours and in money."""
        given = [] if self.max_hours is None else [self.max_hours]
        if self.max_cost is not None and self.price_per_hour is not None:
            given.append(self.max_cost / self.price_per_hour)
        return min(given, default=None)

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> StopConfig:
        if self.max_cost is not None and self.price_per_hour is None:
            raise ValueError(
                f"max_cost {self.max_cost:g} needs to know what an hour costs; "
                "write e.g. price_per_hour: 0.05"
            )
        return self
