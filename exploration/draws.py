"""Random frames, drawn until one is physical."""

from __future__ import annotations

from collections.abc import Callable

from potential.data.frame import Frame
from potential.data.plausibility import check_frame

DRAWS_PER_FRAME = 100


def first_physical(draw: Callable[[], Frame], min_distance_factor: float, *, said: str, remedy: str) -> Frame:
    """The first draw in which no atoms come too near.

    Args:
        said: how the draws were made, and
        remedy: what to do, for the error.

    Raises:
        ValueError: if `DRAWS_PER_FRAME` are not enough.
    """
    for _ in range(DRAWS_PER_FRAME):
        frame = draw()
        try:
            check_frame(frame, min_distance_factor=min_distance_factor)
        except ValueError as error:
            refusal = error
        else:
            return frame
    raise ValueError(
        f"no physical frame of {frame.formula} in {DRAWS_PER_FRAME} draws {said}: {refusal}; {remedy}"
    )
