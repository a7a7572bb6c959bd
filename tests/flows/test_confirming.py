"""The second look at labels that the committee did not expect, with real SCFs."""

import pytest

from flows.steps.confirming import expectations
from labeling.checks import CheckLimits
from labeling.confirming import Expectation, confirmed, is_unexpected
from labeling.cost import stage_seconds
from labeling.failure import LabelFailure
from labeling.level import PySCFLevel
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.molecules import molecule
from potential.evaluator import Evaluator
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig

LIMITS = CheckLimits(committee_sigmas=3, committee_floor_meV_per_atom=2)
COARSE = PySCFLevel(grid_level=1)


@pytest.mark.parametrize(
    ("off_eV", "deviation_eV", "unexpected"),
    [(0.019, 0.0, False), (-0.021, 0.0, True), (0.29, 0.1, False), (-0.31, 0.1, True)],
)
def test_the_range_is_so_many_deviations_and_at_least_the_floor(
    off_eV: float, deviation_eV: float, unexpected: bool
):
    expected = Expectation(energy=-100.0, deviation=deviation_eV)
    assert is_unexpected(-100 + off_eV, 10, expected, LIMITS) is unexpected


def test_expectations_are_the_committees():
    frames = [molecule("H2O"), molecule("CH4")]
    committee = Evaluator(NequIP(ModelConfig(num_layers=1, num_features=4), [1, 6, 8], seed=0))
    found = expectations(committee, frames)
    alone = expectations(committee, frames[1:])
    assert found[frames[1].id].energy == pytest.approx(alone[frames[1].id].energy, abs=1e-4)
    assert found[frames[0].id].deviation > 0
    assert expectations(committee, []) == {}


def test_a_sound_label_stands_even_if_the_committee_is_wrong():
    water = molecule("H2O")
    with LabelWorkers(LabelingConfig(workers=1)) as workers:
        label = workers.label(water, COARSE)
        assert isinstance(label, Label)
        near = confirmed(water, label, Expectation(energy=label.energy, deviation=0.0), COARSE, workers)
        far = confirmed(water, label, Expectation(energy=-2000.0, deviation=0.1), COARSE, workers)
    assert isinstance(near, Label)
    assert "second_guess_eV" not in near.provenance["checks"]
    assert stage_seconds(near.provenance)["second_guess"] == 0
    assert isinstance(far, Label)
    assert far.energy == label.energy
    assert abs(far.provenance["checks"]["second_guess_eV"]) < 1e-4
    assert far.provenance["checks"]["committee_energy_eV"] == -2000.0
    spent = stage_seconds(far.provenance)["second_guess"]
    assert spent > 0
    assert far.provenance["seconds"] == pytest.approx(label.provenance["seconds"] + spent)


@pytest.mark.whole
def test_an_excited_state_is_found_out_and_quarantined():
    """The SCF of quintet CoH ends 0.09 eV above the state that another guess leads to."""
    coh = Frame.of([27, 1], [[0, 0, 0], [0, 0, 1.52]], spin=4)
    with LabelWorkers(LabelingConfig(workers=1)) as workers:
        label = workers.label(coh, COARSE)
        assert isinstance(label, Label)
        outcome = confirmed(coh, label, Expectation(energy=label.energy - 1, deviation=0.01), COARSE, workers)
    assert isinstance(outcome, LabelFailure)
    assert outcome.kind == "rejected_by_check"
    assert "state flip" in outcome.message
    assert outcome.label is not None
    assert outcome.label.energy < label.energy - 0.05
