"""Is a learning curve flat, and where does it lead? Plain functions on errors and numbers of labels."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64

from potential.bootstrap import Estimate, bootstrapped

MIN_POINTS = 3


def gain_of(
    before: Float64[np.ndarray, "frames"],
    after: Float64[np.ndarray, "frames"],
    n_atoms: Int64[np.ndarray, "frames"],
    *,
    seed: int = 0,
) -> Estimate:
    """What a round gained on a frozen test, 1 - error after / error before, paired.

    The interval says how much the test frames leave open, not how much another training of the same
    labels would differ.

    Args:
        before, after: mean absolute error of each test frame in the two rounds, eV/Angstrom.
        n_atoms: of each frame, its weight.

    Raises:
        ValueError: for no frames, or an error before of zero.
    """
    if not len(before) or not (before * n_atoms).sum() > 0:
        raise ValueError(f"no gain can be measured on {len(before)} frames without an error before")
    old, new = before * n_atoms, after * n_atoms

    def gain(rows: np.ndarray) -> np.ndarray:
        return np.asarray(1 - new[rows].sum(-1) / np.maximum(old[rows].sum(-1), 1e-300))

    return bootstrapped(len(old), gain, seed=seed)


def labels_to_reach(
    target: float, n_labels: Float64[np.ndarray, "rounds"], errors: Float64[np.ndarray, "rounds"]
) -> float | None:
    """Labels at which the power law through the rounds, log(error) = a - b log(N), meets `target`.

    None for fewer than `MIN_POINTS` rounds, or a curve that does not fall.
    """
    if len(n_labels) < MIN_POINTS or len(np.unique(n_labels)) < 2:
        return None
    slope, intercept = np.polyfit(np.log(n_labels), np.log(errors), 1)
    if not slope < -0.01:
        return None
    exponent = (math.log(target) - intercept) / slope
    return math.exp(exponent) if exponent < 25 else None  # e^25 labels: never
