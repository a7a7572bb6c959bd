import math
from dataclasses import asdict, fields

import pytest

from exploration.filters import unphysical
from exploration.settings import ExplorationConfig
from exploration.verdict import FrameScores
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


def flaw(frame=WATER, **changes):
    scores = FrameScores(**{**asdict(FINE), **changes})
    return unphysical(frame, scores, bath_temperature_K=300.0, config=CONFIG)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [f.name for f in fields(FrameScores)])
def test_anything_not_finite_fails_first(name, bad):
    # Every other bound is broken too, and still finiteness is the reason.
    others = {"max_force_disagreement": 9.0, "temperature_K": 1e6, "stride_A": 3.0} | {name: bad}
    assert flaw(**others) == f"not finite: {name} {bad}"


def test_reasons_give_numbers():
    squeezed = WATER.positions.copy()
    squeezed[1] = squeezed[0] + [0, 0, 0.5]
    close = flaw(WATER.moved(squeezed))
    assert close == "too close: O0-H1 0.500 Å, 0.52 of their covalent radii (bound 0.65)"
    assert flaw(temperature_K=1501.0) == "too hot: 1501 K in a bath of 300 K (bound 1500 K)"
    fast = flaw(stride_A=0.7)
    assert fast == "explodes: an atom would move 0.7 Å in one step of 0.5 fs (bound 0.5)"


def test_what_the_committee_thinks_is_no_matter_of_physics():
    assert flaw() is None
    assert flaw(max_force_disagreement=9.0) is None


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        (0.66, "the cell collapses: 0.66 times the volume of its start (bounds 0.667 and 1.5)"),
        (1.6, "the cell explodes: 1.6 times the volume of its start (bounds 0.667 and 1.5)"),
        (0.67, None),
        (1.5, None),
    ],
)
def test_a_cell_may_grow_and_shrink_by_as_much(ratio, reason):
    assert flaw(volume_ratio=ratio) == reason
