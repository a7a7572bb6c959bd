import math

import pytest

from exploration.band import band
from exploration.settings import ErrorBounds, ExplorationConfig
from exploration.verdict import FrameScores, Outcome
from potential.calibration.calibration import Calibration

CONFIG = ExplorationConfig()  # bounds 0.1, 1.0, 2.0 eV/Å


@pytest.mark.parametrize(
    ("disagreement", "outcome", "stops"),
    [
        (0.0, Outcome.ACCURATE, False),
        (0.0999, Outcome.ACCURATE, False),
        (0.1, Outcome.CANDIDATE, False),
        (1.0, Outcome.CANDIDATE, False),
        (1.001, Outcome.FAILED, False),
        (2.0, Outcome.FAILED, False),
        (2.001, Outcome.FAILED, True),
        (math.nan, Outcome.FAILED, True),
    ],
)
def test_band(disagreement, outcome, stops):
    scores = FrameScores(
        energy=-10.0,
        max_force_disagreement=disagreement,
        mean_force_disagreement=0.03,
        energy_disagreement_per_atom=0.001,
        temperature_K=300.0,
        stride_A=0.01,
    )
    found = band(scores, CONFIG)
    assert (found.outcome, found.stops, found.physical) == (outcome, stops, True)
    assert f"{disagreement:.3g} eV/Å" in found.reason


CALIBRATION = Calibration(
    exponent=1.0, scale=0.1, scales={}, floor=0.1, ratios=(1.2, 1.6, None), n_frames=9, n_atoms=99
)
BOUNDS = ErrorBounds(lower_meV_per_A=50, upper_meV_per_A=500, stop_meV_per_A=1000)


def judged(expected: float | None, calibration=CALIBRATION, **changes):
    scores = FrameScores(
        energy=-10.0,
        max_force_disagreement=0.2,
        mean_force_disagreement=0.03,
        energy_disagreement_per_atom=0.001,
        temperature_K=300.0,
        stride_A=0.01,
        max_expected_error=expected,
    )
    bounds = ErrorBounds.model_validate(BOUNDS.model_dump() | changes)
    return band(scores, ExplorationConfig(error_bounds=bounds), calibration)


@pytest.mark.parametrize(
    ("expected", "outcome", "stops"),
    [
        (0.0499, Outcome.ACCURATE, False),
        (0.05, Outcome.CANDIDATE, False),
        (0.51, Outcome.FAILED, False),
        (1.01, Outcome.FAILED, True),
        (math.nan, Outcome.FAILED, True),
    ],
)
def test_bounds_in_expected_errors(expected, outcome, stops):
    found = judged(expected)
    assert (found.outcome, found.stops) == (outcome, stops)
    assert f"expected force error {1000 * expected:.3g} meV/Å" in found.reason


def test_bounds_on_what_the_error_stays_below():
    assert judged(0.045).outcome is Outcome.ACCURATE
    found = judged(0.045, judged_by="90%")  # 1.6 times 45
    assert found.outcome is Outcome.CANDIDATE
    assert found.reason == "force error in 90% of cases at most 72 meV/Å between 50.0 and 500.0"
    assert "78.8 meV" in judged(0.045, judged_by="95%").reason  # too few labels to say: the normal's 1.75


def test_without_a_calibration_the_disagreement_judges():
    assert judged(None, None).reason == "force disagreement 0.2 eV/Å between 0.1 and 1.0"


def test_bounds_must_rise():
    with pytest.raises(ValueError, match=r"must rise in this order; write e\.g\. 50, 1000, 3000"):
        ErrorBounds(lower_meV_per_A=600, upper_meV_per_A=500)


@pytest.mark.parametrize(
    ("disagreement", "extrapolation", "bound", "outcome"),
    [
        (0.05, 1.4, 1.5, Outcome.ACCURATE),
        (0.05, 1.6, 1.5, Outcome.CANDIDATE),
        (0.05, math.inf, 1.5, Outcome.CANDIDATE),
        (0.05, 9.0, None, Outcome.ACCURATE),
        (0.05, None, 1.5, Outcome.ACCURATE),
        (1.5, 9.0, 1.5, Outcome.FAILED),
    ],
)
def test_members_that_agree_where_nothing_is_known_do_not_make_a_frame_accurate(
    disagreement, extrapolation, bound, outcome
):
    scores = FrameScores(
        energy=-10.0,
        max_force_disagreement=disagreement,
        mean_force_disagreement=0.03,
        energy_disagreement_per_atom=0.001,
        temperature_K=300.0,
        stride_A=0.01,
        max_extrapolation=extrapolation,
    )
    found = band(scores, ExplorationConfig(max_extrapolation=bound))
    assert found.outcome is outcome
    assert ("members agree" in found.reason) == (outcome is Outcome.CANDIDATE)
