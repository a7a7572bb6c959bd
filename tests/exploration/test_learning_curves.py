"""Slopes, areas and saved labels against power laws with a known answer."""

import numpy as np
import pytest

from exploration.learning_curves import (
    labels_at,
    labels_saved,
    over_seeds,
    relative_area,
    slope,
    statement,
)
from potential.bootstrap import Estimate

N = np.array([20.0, 40.0, 80.0, 160.0])


def curves(b: float, scale: float = 1.0, noise: float = 0.0, seeds: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * N**-b * np.exp(noise * rng.normal(size=(seeds, len(N))))


def test_the_slope_is_the_exponent():
    assert slope(N, curves(0.7)).value == pytest.approx(0.7)
    found = slope(N, curves(0.7, noise=0.05, seeds=20))
    assert found.low < 0.7 < found.high
    assert found.high - found.low < 0.1
    with pytest.raises(ValueError, match="two numbers of labels, got 1"):
        slope(N[:1], curves(0.7)[:, :1])


def test_the_interval_covers_the_mean_of_the_seeds():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        found = over_seeds(rng.normal(1.0, 0.3, 20), seed=trial)
        held += found.low <= 1.0 <= found.high
    assert held > 200 * 0.87  # a percentile bootstrap of 20 values: about 93 of a hundred
    assert np.isnan(over_seeds(np.array([1.0])).low)


def test_an_error_lower_by_a_tenth_is_a_relative_area_of_minus_a_tenth():
    found = relative_area(N, 0.9 * curves(0.5, noise=0.3), curves(0.5, noise=0.3))  # the same noise: paired
    assert (found.value, found.low, found.high) == pytest.approx((-0.1, -0.1, -0.1))


def test_labels_to_a_target():
    curve = N**-0.5
    assert labels_at(N, curve, 60**-0.5) == pytest.approx(60)
    assert labels_at(N, curve, 1.0) == 20
    assert np.isnan(labels_at(N, curve, 0.01))


def test_a_strategy_that_learns_as_from_a_quarter_more_labels_saves_a_fifth():
    faster = (1.25 * N) ** -0.5 * np.ones((5, 1))
    found = labels_saved(N, faster, curves(0.5), target=70**-0.5)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert "needs 20% fewer labels than random" in statement(found, "15 meV/Å", than="random")
    assert labels_saved(N, faster, curves(0.5), target=0.001) is None
    noisy = labels_saved(N, curves(0.5, noise=0.2, seed=1), curves(0.5, noise=0.2, seed=2), target=0.12)
    assert "no difference from random seen" in statement(noisy, "120 meV/Å", than="random")


def test_what_is_said_follows_from_the_interval():
    assert "10% more labels" in statement(Estimate(value=-0.1, low=-0.2, high=-0.05), "E", than="random")
    assert "proves nothing" in statement(Estimate(value=0.1, low=np.nan, high=np.nan), "E", than="random")
    assert statement(None, "E", than="random") == "E: not reached by both"
