"""The calibration against made-up errors with a known law, and its scores against kept packages."""

import math

import numpy as np
import pandas as pd
import pytest
import scoringrules
from crepes import ConformalRegressor
from scipy.stats import maxwell

from potential.calibration.calibration import EXPECTED_LENGTH, LEVELS, NORMAL_RATIOS, Calibration
from potential.calibration.fit import conformal_quantile, cross_fitted_ratios, fit_calibration
from potential.calibration.pairs import Pairs
from potential.calibration.scores import auroc, crps, ence, nll, reliability, score_calibration


def drawn(
    n_frames: int, *, exponent: float = 0.7, scales=(("C", 0.9), ("H", 0.3)), seed: int = 0, atoms: int = 8
) -> Pairs:
    """Normal errors whose sigma follows the law of the calibration, sigma = scale d^exponent."""
    rng = np.random.default_rng(seed)
    n = n_frames * atoms
    symbols = np.resize([symbol for symbol, _ in scales], n)
    disagreement = rng.lognormal(math.log(0.1), 0.7, n)
    sigma = np.array([dict(scales)[s] for s in symbols]) * disagreement**exponent
    return Pairs(
        frame_ids=tuple(f"{seed}-{i // atoms:04d}" for i in range(n)),
        symbols=tuple(map(str, symbols)),
        disagreement=disagreement,
        errors=sigma[:, None] * rng.normal(size=(n, 3)),
    )


def test_the_law_is_found_again_by_element():
    found = fit_calibration(drawn(400))
    assert found.exponent == pytest.approx(0.7, abs=0.02)
    at_tenth = found.sigma(np.array([0.1, 0.1]), ["C", "H"])
    np.testing.assert_allclose(at_tenth, np.array([0.9, 0.3]) * 0.1**0.7, rtol=0.04)
    assert found.expected_error(np.array([0.1]), ["C"])[0] == pytest.approx(EXPECTED_LENGTH * at_tenth[0])
    assert (found.n_frames, found.n_atoms) == (400, 3200)


def test_the_expected_error_is_the_mean_error_of_such_atoms():
    pairs = drawn(2000, scales=(("C", 0.9),), exponent=1.0)
    found = fit_calibration(drawn(400, scales=(("C", 0.9),), exponent=1.0, seed=1))
    expected = found.expected_error(pairs.disagreement, pairs.symbols)
    assert expected.mean() == pytest.approx(pairs.lengths.mean(), rel=0.03)


def test_an_element_with_two_atoms_keeps_some_of_the_others_scale():
    many = drawn(50, scales=(("C", 0.5),))
    few = drawn(1, scales=(("S", 5.0),), atoms=2, seed=3)
    found = fit_calibration(Pairs.joined([many, few]))
    assert 2 < found.scales["S"] / found.scales["C"] < 8  # the two atoms' own is ten
    assert found.sigma(np.array([0.1]), ["Xe"])[0] == pytest.approx(
        found.scale * (0.1 / found.floor) ** found.exponent
    )


def test_too_little_to_say_anything():
    assert fit_calibration(drawn(1, atoms=50)) is None  # one frame
    assert fit_calibration(drawn(2, atoms=4)) is None  # eight atoms
    alone = drawn(5)
    silent = Pairs(
        frame_ids=alone.frame_ids,
        symbols=alone.symbols,
        disagreement=np.zeros(len(alone)),
        errors=alone.errors,
    )
    assert fit_calibration(silent) is None  # a committee of one


def test_disagreement_that_is_not_finite_is_never_a_small_error():
    found = fit_calibration(drawn(20))
    assert np.isnan(found.expected_error(np.array([np.nan]), ["C"])).all()
    table = pd.DataFrame(
        {
            "frame_id": ["a", "a"],
            "symbol": ["C", "H"],
            "force_disagreement": [0.1, np.nan],
            **{name: [0.5, 0.5] for name in ("fx", "fy", "fz", "fx_ref", "fy_ref", "fz_ref")},
        }
    )
    assert Pairs.of(table).symbols == ("C",)


@pytest.mark.parametrize("law", ["normal", "heavy"])
def test_intervals_cover_what_they_promise_whatever_the_errors_are(law):
    rng = np.random.default_rng(5)
    pairs, fresh = drawn(300, seed=1), drawn(600, seed=2)
    if law == "heavy":  # Student's t with three degrees of freedom, where the normal's intervals fail
        pairs, fresh = (
            Pairs(
                frame_ids=p.frame_ids,
                symbols=p.symbols,
                disagreement=p.disagreement,
                errors=p.errors * np.sqrt(3 / rng.chisquare(3, (len(p), 1))),
            )
            for p in (pairs, fresh)
        )
    found = score_calibration(fit_calibration(pairs), fresh, bound_eV_per_A=0.1)
    # 2400 and 4800 atoms: standard deviations of 0.012 at 68 %, less above
    np.testing.assert_allclose(found.coverage, LEVELS, atol=0.035)


def test_intervals_are_those_of_crepes():
    rng = np.random.default_rng(0)
    errors, sigma = rng.gamma(2.0, size=98), rng.uniform(0.5, 2.0, 98)
    regressor = ConformalRegressor().fit(residuals=errors, sigmas=sigma)
    for level in LEVELS:
        q = conformal_quantile(errors / sigma, level)
        theirs = regressor.predict_int(y_hat=np.zeros(3), sigmas=np.array([0.5, 1.0, 3.0]), confidence=level)
        np.testing.assert_allclose(theirs[:, 1], q * np.array([0.5, 1.0, 3.0]), rtol=1e-6)


def test_a_level_that_so_few_labels_cannot_promise():
    assert conformal_quantile(np.arange(18.0), 0.95) is None
    assert conformal_quantile(np.arange(19.0), 0.95) == 18.0
    few = fit_calibration(drawn(2, atoms=6))
    assert few.ratios[2] is None
    assert few.ratio(0.95) == NORMAL_RATIOS[2]
    np.testing.assert_allclose(NORMAL_RATIOS, maxwell.ppf(LEVELS) / EXPECTED_LENGTH, rtol=1e-4)
    with pytest.raises(ValueError, match=r"no interval at 0\.5; choose one of 0\.68, 0\.9, 0\.95"):
        few.ratio(0.5)


def test_no_ratio_comes_from_a_fit_that_saw_its_frame():
    """One frame of absurd errors: a fit that saw it would call them half expected."""
    calm, wild = drawn(9, scales=(("C", 0.1),)), drawn(1, scales=(("C", 100.0),), seed=9)
    ratios = cross_fitted_ratios(Pairs.joined([calm, wild]))
    assert len(ratios) == 80
    assert np.sort(ratios)[-8:].min() > 20


def test_scores_are_those_of_scoringrules_and_of_their_formulas():
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.05, 0.5, 500)
    errors = sigma[:, None] * rng.normal(size=(500, 3)) * 1.3
    wide = np.repeat(sigma[:, None], 3, axis=1)
    zeros = np.zeros_like(errors)
    assert crps(errors, sigma) == pytest.approx(float(scoringrules.crps_normal(errors, zeros, wide).mean()))
    assert nll(errors, sigma) == pytest.approx(float(scoringrules.logs_normal(errors, zeros, wide).mean()))
    predicted, observed = reliability(errors, sigma)
    assert len(predicted) == 10
    np.testing.assert_allclose(observed / predicted, 1.3, rtol=0.2)
    # 1.3 times too large in each bin
    assert ence(errors, sigma) == pytest.approx(0.3, abs=0.05)
    assert ence(errors / 1.3, sigma) < 0.08
    assert ence(errors[:9], sigma[:9]) is None


def test_auroc_is_a_probability():
    score = np.array([1.0, 2.0, 2.0, 3.0])
    positive = np.array([False, False, True, True])
    assert auroc(score, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert auroc(score, np.zeros(4, dtype=bool)) is None


def test_scores_of_a_good_calibration():
    found = score_calibration(fit_calibration(drawn(300)), drawn(300, seed=4), bound_eV_per_A=0.3)
    assert found.ence < 0.1
    assert found.auroc > 0.75
    assert found.spearman > 0.4
    assert found.expected_mae == pytest.approx(found.mae, rel=0.05)
    with pytest.raises(ValueError, match="got none"):
        score_calibration(fit_calibration(drawn(20)), Pairs.joined([]), bound_eV_per_A=0.3)


def test_a_calibration_survives_its_file():
    found = fit_calibration(drawn(20))
    assert Calibration.model_validate_json(found.model_dump_json()) == found
