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
ROWS_AT_ONCE = 1_000_000
INSIDE = (0.025, 0.975)
FEWEST_PAIRS = 6
"""Below it no difference is told apart: even if all pairs agree, chance does so in 2 / 2^n > 5 % of cases."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; the bounds are NaN where a single row says nothing of them."""

    value: float
    low: float
    high: float


def bootstrapped(n: int, statistic: Callable[[np.ndarray], np.ndarray], *, seed: int = 0) -> Estimate:
    """The statistic of rows 0 to `n` - 1, with its interval.

    Args:
        statistic: of the row numbers of many draws, some of them several times: from [draws, n] to [draws];
            NaN where a draw has none.

    Raises:
        ValueError: for no rows.
    """
    if n < 1:
        raise ValueError("an estimate needs at least one row, got none")
    value, unknown = float(statistic(np.arange(n)[None])[0]), float("nan")
    if n == 1:
        return Estimate(value=value, low=unknown, high=unknown)
    rng = np.random.default_rng(seed)
    at_once = max(1, ROWS_AT_ONCE // n)
    sizes = [min(at_once, DRAWS - first) for first in range(0, DRAWS, at_once)]
    drawn = np.concatenate([statistic(rng.integers(0, n, (size, n))) for size in sizes])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < DRAWS / 2:
        return Estimate(value=unknown, low=unknown, high=unknown)
    low, high = np.quantile(drawn, INSIDE).tolist()
    return Estimate(value=value, low=low, high=high)
