"""Is a curve flat? The bootstrap's interval against what it must cover, and the power law against its own."""

import numpy as np
import pytest

from exploration.convergence import gain_of, labels_to_reach


def test_the_interval_holds_the_true_gain_as_often_as_it_says():
    """Frames whose error falls by a tenth on average, with much scatter."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        before = rng.lognormal(0.0, 0.5, 60)
        after = 0.9 * before * rng.lognormal(-0.02, 0.2, 60)  # a mean factor of exp(-0.02 + 0.2^2/2) = 1
        found = gain_of(before, after, np.full(60, 9), seed=seed)
        assert found.low <= found.value <= found.high
        held += found.low <= 0.1 <= found.high
    assert held > 200 * 0.88  # 190 expected, standard deviation 3.1; percentile intervals are a little short


def test_pairing_makes_a_steady_gain_certain():
    before = np.random.default_rng(1).lognormal(0.0, 2.0, 20)
    found = gain_of(before, 0.8 * before, np.full(20, 9))
    assert (found.low, found.value, found.high) == pytest.approx((0.2, 0.2, 0.2))


def test_a_frame_counts_with_its_atoms():
    found = gain_of(np.array([1.0, 1.0]), np.array([0.5, 1.0]), np.array([30, 10]))
    assert found.value == pytest.approx(1 - 25 / 40)
    with pytest.raises(ValueError, match="no gain can be measured on 0 frames"):
        gain_of(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))


def test_where_a_power_law_leads():
    n = np.array([20.0, 40.0, 80.0])
    assert labels_to_reach(0.01, n, 2.0 * n**-0.5) == pytest.approx(40_000)
    assert labels_to_reach(0.01, n[:2], 2.0 * n[:2] ** -0.5) is None  # two rounds are no curve
    assert labels_to_reach(0.01, n, np.array([0.1, 0.1, 0.1])) is None
    assert labels_to_reach(1e-30, n, 2.0 * n**-0.5) is None
