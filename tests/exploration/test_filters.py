import math
from dataclasses import asdict, fields

import pytest

from exploration.filters import FrameScores, Outcome, judge
from exploration.settings import ExplorationConfig
from potential.data.structure_files import molecule

WATER = molecule("H2O")
CONFIG = ExplorationConfig()  # bounds 0.1, 1.0, 2.0 eV/Å; 0.65; 5.0
FINE = FrameScores(
    energy=-10.0,
    max_force_disagreement=0.05,
    mean_force_disagreement=0.03,
    energy_disagreement_per_atom=0.001,
    temperature_K=300.0,
    stride_A=0.01,
)


def verdict(frame=WATER, **changes):
    scores = FrameScores(**{**asdict(FINE), **changes})
    return judge(frame, scores, bath_temperature_K=300.0, config=CONFIG)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [f.name for f in fields(FrameScores)])
def test_anything_not_finite_fails_first(name, bad):
    # Every other bound is broken too, and still finiteness is the reason.
    others = {"max_force_disagreement": 9.0, "temperature_K": 1e6, "stride_A": 3.0} | {name: bad}
    found = verdict(**others)
    assert (found.outcome, found.stops) == (Outcome.FAILED, True)
    assert found.reason == f"not finite: {name} {bad}"


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
    ],
)
def test_band(disagreement, outcome, stops):
    found = verdict(max_force_disagreement=disagreement)
    assert (found.outcome, found.stops) == (outcome, stops)
    assert f"{disagreement:.3g} eV/Å" in found.reason


def test_reasons_give_numbers():
    squeezed = WATER.positions.copy()
    squeezed[1] = squeezed[0] + [0, 0, 0.5]
    close = verdict(WATER.moved(squeezed))
    assert close.stops
    assert close.reason == "too close: O0-H1 0.500 Å, 0.52 of their covalent radii (bound 0.65)"
    hot = verdict(temperature_K=1501.0)
    assert hot.stops
    assert hot.reason == "too hot: 1501 K in a bath of 300 K (bound 1500 K)"
    fast = verdict(stride_A=0.7)
    assert fast.stops
    assert fast.reason == "explodes: an atom would move 0.7 Å in one step of 0.5 fs (bound 0.5)"


def test_an_unphysical_frame_fails_however_sure_the_committee_is():
    squeezed = WATER.positions.copy()
    squeezed[1] = squeezed[0] + [0, 0, 0.5]
    assert verdict(WATER.moved(squeezed), max_force_disagreement=0.0).outcome is Outcome.FAILED
