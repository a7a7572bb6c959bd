"""Fit the error to expect from a disagreement, and intervals that hold it.

An atom's force error is taken for normal, the same in every direction, with a standard deviation per
component that follows from the committee's disagreement by a power law,

    sigma = a_z (d / d0)^b,   log a_z = log a + delta_z,
    E|e| = sqrt(8/pi) sigma   (the mean of Maxwell's distribution),

fitted by the largest posterior,

    min over (a, b, delta) of  sum_i [3 log sigma_i + |e_i|^2 / (2 sigma_i^2)]
                               + (b - 1)^2 / (2 s_b^2) + sum_z delta_z^2 / (2 s_z^2),

which is convex in (log a, b, delta). The priors say that the error grows with the disagreement, and alike
for all elements; each element has a scale of its own as far as its data insist on it. Ensembles scaled on
held-out labels: Imbalzano et al., J. Chem. Phys. 154, 074102 (2021); Busk et al., arXiv 2305.16325.

Intervals are split-conformal, scaled by the expected error (Lei et al., J. Am. Stat. Assoc. 113, 1094
(2018), section 5.2): with the ratios r_i = |e_i| / E|e_i| of n labels that the fit has not seen,

    |e| <= q E|e|   with probability of at least p,   q the ceil((n + 1) p)-th smallest ratio.

So that few labels serve both, r_i comes from a fit without the fold of frame i (cross-conformal: Barber et
al., Ann. Stat. 49, 486 (2021)). Atoms of one frame are not exchangeable with those of others, so with few
frames the coverage scatters more than n atoms suggest.

| symbol | variable |
|---|---|
| sigma, a_z, b, d | `sigma`, `scales`, `exponent`, `disagreement` |
| d0 | `floor` (the smallest disagreement that the fit trusts) |
| q | `ratios`, one for each of `LEVELS` |
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize

from potential.calibration.calibration import LEVELS, Calibration
from potential.calibration.pairs import Pairs

EXPONENT_PRIOR, ELEMENT_PRIOR = 0.3, 0.5
MIN_FRAMES, MIN_ATOMS, FOLDS = 2, 10, 5
TINY_EV_PER_A = 1e-6
"""Nothing is known better than this: keeps a perfect fit finite."""


def fit_calibration(pairs: Pairs) -> Calibration | None:
    """The calibration that `pairs` ask for; None for fewer than `MIN_FRAMES` frames or `MIN_ATOMS` atoms.

    None too where the members never disagree, such as a committee of one.
    """
    if pairs.n_frames < MIN_FRAMES or len(pairs) < MIN_ATOMS or not (pairs.disagreement > 0).any():
        return None
    exponent, scale, scales, floor = _fit(pairs)
    ratios = cross_fitted_ratios(pairs)
    return Calibration(
        exponent=exponent,
        scale=scale,
        scales=scales,
        floor=floor,
        ratios=tuple(conformal_quantile(ratios, level) for level in LEVELS),
        n_frames=pairs.n_frames,
        n_atoms=len(pairs),
    )


def cross_fitted_ratios(pairs: Pairs) -> Float64[np.ndarray, "atoms"]:
    """|error| over the expected error of fits that have not seen the atom's frame."""
    frames = sorted(set(pairs.frame_ids))  # ids are hashes: their order is random and always the same
    found = []
    for fold in range(min(FOLDS, len(frames))):
        mine = set(frames[fold::FOLDS])
        left_out, rest = pairs.of_frames(mine), pairs.of_frames(set(frames) - mine)
        if not (rest.disagreement > 0).any():
            continue
        exponent, scale, scales, floor = _fit(rest)
        expected = Calibration(
            exponent=exponent, scale=scale, scales=scales, floor=floor, ratios=(), n_frames=0, n_atoms=0
        ).expected_error(left_out.disagreement, left_out.symbols)
        found.append(left_out.lengths / expected)
    return np.concatenate(found) if found else np.zeros(0)


def conformal_quantile(scores: Float64[np.ndarray, "n"], level: float) -> float | None:
    """The ceil((n + 1) level)-th smallest score; None where n is too small for the level."""
    k = math.ceil(round((len(scores) + 1) * level, 9))  # 100 times 0.68 is a little more than 68
    return None if k > len(scores) else float(np.sort(scores)[k - 1])


def _fit(pairs: Pairs) -> tuple[float, float, dict[str, float], float]:
    """Exponent, scale at the floor, scale of each element there, floor."""
    positive = pairs.disagreement[pairs.disagreement > 0]
    floor = max(float(np.quantile(positive, 0.01)), TINY_EV_PER_A)
    centre = float(np.log(np.maximum(pairs.disagreement, floor)).mean())
    x = np.log(np.maximum(pairs.disagreement, floor)) - centre
    squared = pairs.lengths**2 + TINY_EV_PER_A**2
    elements = sorted(set(pairs.symbols))
    member = np.array([[s == element for element in elements] for s in pairs.symbols], dtype=np.float64)
    design = np.column_stack([np.ones(len(x)), x, member])

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        u = design @ theta
        misfit = squared * np.exp(-2 * u)
        slope = design.T @ (3 - misfit)
        slope[1] += (theta[1] - 1) / EXPONENT_PRIOR**2
        slope[2:] += theta[2:] / ELEMENT_PRIOR**2
        prior = (theta[1] - 1) ** 2 / EXPONENT_PRIOR**2 + (theta[2:] ** 2).sum() / ELEMENT_PRIOR**2
        return float((3 * u + misfit / 2).sum() + prior / 2), slope

    begin = np.zeros(design.shape[1])
    begin[:2] = 0.5 * math.log(squared.mean() / 3), 1.0
    bounds = [(None, None), (0.0, 3.0)] + [(None, None)] * len(elements)
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13})
    log_scale, exponent, *delta = found.x.tolist()
    at_floor = math.exp(log_scale + exponent * (math.log(floor) - centre))
    scales = {e: at_floor * math.exp(d) for e, d in zip(elements, delta, strict=True)}
    return exponent, at_floor, scales, floor
