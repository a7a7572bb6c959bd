"""A number with its interval, by drawing again: frames of a test set, or seeds of a study.

Percentile bootstrap: the statistic of as many rows, drawn with replacement, many times over; the middle
95 % of what is found is the interval (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993,
section 13.3). What is compared is taken from the same draws, so that what is hard for both cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
INSIDE = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; the bounds are NaN where a single row says nothing of them."""

    value: float
    low: float
    high: float


def bootstrapped(n: int, statistic: Callable[[np.ndarray], float], *, seed: int = 0) -> Estimate:
    """The statistic of rows 0 to `n` - 1, with its interval.

    Args:
        statistic: of row numbers, some of them several times; NaN where these rows have none.

    Raises:
        ValueError: for no rows.
    """
    if n < 1:
        raise ValueError("an estimate needs at least one row, got none")
    value, unknown = statistic(np.arange(n)), float("nan")
    if n == 1:
        return Estimate(value=value, low=unknown, high=unknown)
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(0, n, n)) for _ in range(DRAWS)])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < DRAWS / 2:
        return Estimate(value=unknown, low=unknown, high=unknown)
    low, high = np.quantile(drawn, INSIDE).tolist()
    return Estimate(value=value, low=low, high=high)
