"""What learning curves say: their slopes, their areas, and the labels that a strategy saves.

A curve is the error of one seed at growing numbers of labels N. On logarithmic scales it is near a line,

    log(error) = a - b log(N),

whose b is the exponent of data efficiency (Batzner et al., Nat. Commun. 13, 2453 (2022), figure 6). The unit
of proof is a seed: strategies that are compared began with the same frames for the same seed, so their
differences are taken seed by seed, and intervals come from a bootstrap over the seeds. With few seeds they
are rough, and rather too narrow than too wide.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from potential.bootstrap import Estimate, bootstrapped


def over_seeds(values: Float64[np.ndarray, "seeds"], *, seed: int = 0) -> Estimate:
    """Mean over the seeds, with the interval of a percentile bootstrap.

    Raises:
        ValueError: for no seeds.
    """
    return bootstrapped(len(values), lambda rows: values[rows].mean(-1), seed=seed)


def slope(
    n_labels: Float64[np.ndarray, "sizes"], errors: Float64[np.ndarray, "seeds sizes"], *, seed: int = 0
) -> Estimate:
    """The exponent b of the curve through the seeds' mean log error.

    Raises:
        ValueError: for fewer than two sizes.
    """
    if len(n_labels) < 2:
        raise ValueError(f"a slope needs two numbers of labels, got {len(n_labels)}")
    each = -np.polyfit(np.log(n_labels), np.log(errors).T, 1)[0]
    return over_seeds(each, seed=seed)


def area(n_labels: Float64[np.ndarray, "sizes"], errors: Float64[np.ndarray, "seeds sizes"]) -> np.ndarray:
    """Mean of log(error) along log(N) of each seed: the area under its log-log curve over its length."""
    x, y = np.log(n_labels), np.log(errors)
    return np.asarray(((y[:, 1:] + y[:, :-1]) / 2 * np.diff(x)).sum(axis=1) / (x[-1] - x[0]))


def relative_area(
    n_labels: Float64[np.ndarray, "sizes"],
    errors: Float64[np.ndarray, "seeds sizes"],
    control: Float64[np.ndarray, "seeds sizes"],
    *,
    seed: int = 0,
) -> Estimate:
    """How much larger the error is than the control's along the curve, paired: exp(difference of areas) - 1.

    Negative is better: -0.1 is an error lower by a tenth at the same number of labels.
    """
    return over_seeds(np.expm1(area(n_labels, errors) - area(n_labels, control)), seed=seed)


def labels_at(
    n_labels: Float64[np.ndarray, "sizes"], errors: Float64[np.ndarray, "sizes"], target: float
) -> float:
    """Labels at which a curve first falls to `target`, on straight lines between its points; NaN if never."""
    below = np.flatnonzero(errors <= target)
    if not len(below):
        return float("nan")
    i = int(below[0])
    if i == 0:
        return float(n_labels[0])
    x, y = np.log(n_labels[i - 1 : i + 1]), np.log(errors[i - 1 : i + 1])
    return float(np.exp(x[0] + (np.log(target) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))


def labels_saved(
    n_labels: Float64[np.ndarray, "sizes"],
    errors: Float64[np.ndarray, "seeds sizes"],
    control: Float64[np.ndarray, "seeds sizes"],
    target: float,
    *,
    seed: int = 0,
) -> Estimate | None:
    """Share of the control's labels that are not needed for an error of `target`.

    Of the curves through the seeds' mean log errors, bootstrapped over paired seeds. None where one of
    the two does not reach the target, or an arm's bootstrap seldom does.
    """

    def saved(rows: np.ndarray) -> float:
        mine = labels_at(n_labels, np.exp(np.log(errors[rows]).mean(axis=0)), target)
        theirs = labels_at(n_labels, np.exp(np.log(control[rows]).mean(axis=0)), target)
        return 1 - mine / theirs

    found = bootstrapped(len(errors), lambda rows: np.apply_along_axis(saved, -1, rows), seed=seed)
    return None if np.isnan(found.value) else found


def statement(saved: Estimate | None, target: str, *, than: str) -> str:
    """In words: fewer labels, more labels, or no difference seen."""
    if saved is None:
        return f"{target}: not reached by both"
    share, interval = abs(saved.value), f"95 % interval {saved.low:.0%} to {saved.high:.0%} fewer"
    if saved.low > 0:
        return f"{target}: needs {share:.0%} fewer labels than {than} ({interval})"
    if saved.high < 0:
        return f"{target}: needs {share:.0%} more labels than {than} ({interval})"
    if np.isnan(saved.low):
        return f"{target}: {saved.value:.0%} fewer labels than {than}, of one seed, which proves nothing"
    return f"{target}: no difference from {than} seen ({interval})"
