"""How well expected errors hold on labels that neither the committee nor the calibration has seen.

| score | formula | source |
|---|---|---|
| Spearman | rank correlation of disagreement and |e| | |
| AUROC | P(expected error of an atom above the bound > that of one below it) | Mann-Whitney |
| coverage | share of atoms with |e| within the conformal interval | |
| ENCE | mean over bins of |RMV - RMSE| / RMV | Levi et al., Sensors 22, 5540 (2022), eq. 8 |
| NLL | mean of log(2 pi sigma^2)/2 + e_x^2 / (2 sigma^2) | |
| CRPS | mean of sigma [z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)], z = e_x / sigma | Gneiting (below) |

NLL and CRPS are of the force components after scaling, e_x in eV/Angstrom. CRPS: Gneiting and
Raftery, J. Am. Stat. Assoc. 102, 359 (2007), eq. 21.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import norm, rankdata, spearmanr

from potential.calibration.calibration import EXPECTED_COMPONENT, LEVELS, Calibration, CalibrationScores
from potential.calibration.pairs import Pairs

BINS = 10


def score_calibration(calibration: Calibration, pairs: Pairs, *, bound_eV_per_A: float) -> CalibrationScores:
    """All scores of `calibration` on labels that it was not fitted on.

    Raises:
        ValueError: for no atoms.
    """
    if not len(pairs):
        raise ValueError("a calibration is scored on labelled atoms, got none")
    sigma = calibration.sigma(pairs.disagreement, pairs.symbols)
    expected = calibration.expected_error(pairs.disagreement, pairs.symbols)
    return CalibrationScores(
        n_frames=pairs.n_frames,
        n_atoms=len(pairs),
        spearman=rank_correlation(pairs.disagreement, pairs.lengths),
        auroc=auroc(expected, pairs.lengths > bound_eV_per_A),
        bound_eV_per_A=bound_eV_per_A,
        coverage=tuple(float((pairs.lengths <= calibration.ratio(p) * expected).mean()) for p in LEVELS),
        ence=ence(pairs.errors, sigma),
        nll=nll(pairs.errors, sigma),
        crps=crps(pairs.errors, sigma),
        expected_mae=float(EXPECTED_COMPONENT * sigma.mean()),
        mae=float(np.abs(pairs.errors).mean()),
    )


def rank_correlation(x: Float64[np.ndarray, "n"], y: Float64[np.ndarray, "n"]) -> float | None:
    """Spearman's; None where one of them is constant."""
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None
    return float(spearmanr(x, y).statistic)


def auroc(score: Float64[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float | None:
    """Probability that a positive has the larger score (ties count half); None without both kinds."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def reliability(
    errors: Float64[np.ndarray, "n 3"], sigma: Float64[np.ndarray, "n"], bins: int = BINS
) -> tuple[Float64[np.ndarray, "bins"], Float64[np.ndarray, "bins"]]:
    """Root mean variance and root mean squared error of a component, in bins of equal count by sigma."""
    parts = np.array_split(np.argsort(sigma, kind="stable"), min(bins, len(sigma)))
    predicted = np.array([math.sqrt((sigma[part] ** 2).mean()) for part in parts])
    observed = np.array([math.sqrt((errors[part] ** 2).mean()) for part in parts])
    return predicted, observed


def ence(
    errors: Float64[np.ndarray, "n 3"], sigma: Float64[np.ndarray, "n"], bins: int = BINS
) -> float | None:
    """Expected normalised calibration error; None for fewer atoms than bins."""
    if len(sigma) < bins:
        return None
    predicted, observed = reliability(errors, sigma, bins)
    return float((np.abs(predicted - observed) / predicted).mean())


def nll(errors: Float64[np.ndarray, "n 3"], sigma: Float64[np.ndarray, "n"]) -> float:
    """Mean negative log-likelihood of a component, in nats of a density per eV/Angstrom."""
    variance = sigma[:, None] ** 2
    return float((0.5 * np.log(2 * math.pi * variance) + errors**2 / (2 * variance)).mean())


def crps(errors: Float64[np.ndarray, "n 3"], sigma: Float64[np.ndarray, "n"]) -> float:
    """Mean continuous ranked probability score of a component, eV/Angstrom."""
    z = errors / sigma[:, None]
    each = sigma[:, None] * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    return float(each.mean())
