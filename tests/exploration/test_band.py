import math

import pytest

from exploration.band import band
from exploration.settings import ExplorationConfig
from exploration.verdict import FrameScores, Outcome

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
