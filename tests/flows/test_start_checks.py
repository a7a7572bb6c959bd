"""A campaign that would be pointless is refused before its first label."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flows.settings.campaign_config import CampaignConfig
from flows.settings.start_checks import check_start
from potential.data.frame import Frame
from potential.data.structure_files import molecule

DISPLACED = {"frames": 2, "source": {"method": "displacement"}}


def config(**changes: Any) -> CampaignConfig:
    base = {
        "name": "test",
        "structure": {"molecule": "H2O"},
        "initial": DISPLACED,
        "test": DISPLACED,
        "level": {"labeler": "lennard_jones"},
    }
    return CampaignConfig.model_validate(base | changes)


WATER = molecule("H2O")


def test_an_ordinary_campaign_is_let_through():
    check_start(
        config(), [WATER, molecule("CH4"), molecule("OH"), molecule("H2O").moved(1.01 * WATER.positions)]
    )
    check_start(config(training={"stress_weight": 1}), [Frame.of([18], [[0, 0, 0]], 4 * np.eye(3), True)])


def test_a_committee_of_one_cannot_explore():
    alone = {"model": {"committee_size": 1}}
    with pytest.raises(
        ValueError, match=r"committee_size is 1 and rounds is 3.*committee_size: 4, rounds: 0"
    ):
        check_start(config(**alone), [WATER])
    check_start(config(**alone, rounds=0), [WATER])
    check_start(config(**alone, selection={"strategy": "random"}), [WATER])
    with pytest.raises(ValueError, match="committee_size is 1"):
        check_start(config(**alone, selection={"strategy": "random"}, arms={"other": {}}), [WATER])


def test_charge_states_of_one_composition_are_refused():
    cation = molecule("H2O", charge=1)
    with pytest.raises(ValueError, match=r"H2O comes with charge \+0, spin 0 .* charge \+1, spin 1"):
        check_start(config(), [WATER, cation])
    with pytest.raises(ValueError, match=r"spin 0 .* spin 2"):
        check_start(config(), [WATER, molecule("H2O", spin=2)])
    check_start(config(training={"mixed_charges": True}), [WATER, cation])
    check_start(config(), [WATER, molecule("CH4", charge=1)])  # another composition


def test_fixed_atoms_are_refused():
    held = Frame.of(WATER.numbers, WATER.positions, fixed=[0])
    with pytest.raises(ValueError, match=r"atoms \[0\] of H2O are fixed.*remove the constraint"):
        check_start(config(), [held])


def test_a_stress_weight_needs_crystals():
    with pytest.raises(ValueError, match="stress_weight is 100, and no structure is periodic"):
        check_start(config(training={"stress_weight": 100}), [WATER])


def test_a_cutoff_without_neighbours_is_refused():
    far = Frame.of([18, 18], [[0, 0, 0], [0, 0, 6]])
    with pytest.raises(ValueError, match=r"r_max is 3\.0 Å, and no two atoms .* are nearer"):
        check_start(config(model={"r_max": 3}), [far])
    check_start(config(model={"r_max": 3}), [Frame.of([18], [[0, 0, 0]])])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a" * 201},
        {"seed": 2**64},
        {"seed": True},
        {"rounds": 10**30},
        {"rounds": True},
        {"structure": {"molecule": "H2O", "charge": 10**9}},
        {"structure": {"molecule": "H2O", "charge": True}},
        {"initial": DISPLACED | {"frames": 10**30}},
        {"initial": DISPLACED | {"frames": True}},
        {"level": {"labeler": "lennard_jones", "epsilon_eV": float("inf")}},
        {"exploration": {"temperatures_K": [True]}},
        {"exploration": {"upper_eV_per_A": float("inf"), "stop_eV_per_A": float("inf")}},
        {"exploration": {"n_steps": True}},
        {"labeling": {"timeout_s": float("inf")}},
        {"labeling": {"timeout_s": True}},
        {"labeling": {"timeout_s": 5e-324}},
        {"exploration": {"timestep_fs": 5e-324}},
        {"training": {"learning_rate": 5e-324}},
        {"level": {"labeler": "lennard_jones", "sigma_angstrom": 5e-324}},
        {"level": {"labeler": "none", "name": "a\0b"}},
        {"level": {"labeler": "none", "name": "a \u202e b"}},
    ],
)
def test_numbers_that_are_none_are_refused(changes):
    with pytest.raises(ValidationError):
        config(**changes)
