"""The bias is the slope of the disagreement, as strong as asked for, and finds what plain dynamics miss."""

import numpy as np
import pandas as pd
import pytest
import torch

from exploration.dynamics.bias import Bias, Biased, slope_of_disagreement
from exploration.explore import explore
from exploration.ledger import Exploration
from exploration.restarts import survivable
from exploration.settings import ExplorationConfig, SurvivalTest
from potential.data.structure_files import molecule
from potential.nequip.batch import Structures
from tests.support.force_models import Springs

WATER = molecule("H2O")
COMMITTEE = Springs(WATER, scales=(0.9, 1.0, 1.3))


def shaken(n: int) -> Structures:
    rng = np.random.default_rng(0)
    return Structures.of([WATER.moved(WATER.positions + 0.1 * rng.normal(size=(3, 3))) for _ in range(n)])


def test_it_is_the_slope_of_the_energies_deviation():
    structures = shaken(2)
    found = slope_of_disagreement(COMMITTEE(structures), structures)
    for atom, axis in ((0, 0), (2, 1), (4, 2)):
        values = []
        for h in (1e-5, -1e-5):
            moved = structures.positions.clone()
            moved[atom, axis] += h
            values.append(COMMITTEE(structures.at(moved)).energy_disagreement.sum())
        assert found[atom, axis] == pytest.approx(float(values[0] - values[1]) / 2e-5, rel=1e-5)


def test_it_scales_itself_and_leaves_the_disagreement_as_it_was():
    structures = shaken(3)
    plain, biased = COMMITTEE(structures), Biased(COMMITTEE, Bias(strength=0.4))(structures)
    push = (biased.mean_forces - plain.mean_forces).view(3, 3, 3)
    for i, forces in enumerate(plain.mean_forces.view(3, 3, 3)):
        assert float(push[i].norm() / forces.norm()) == pytest.approx(0.4)
    assert torch.allclose(biased.force_disagreement, plain.force_disagreement)
    assert torch.equal(biased.energy, plain.energy)
    # ten times the spread between the members pushes no more
    wild = Springs(WATER, scales=(0.1, 1.0, 2.1))
    other = Biased(wild, Bias(strength=0.4))(structures).mean_forces - wild(structures).mean_forces
    assert float(other.norm() / wild(structures).mean_forces.norm()) == pytest.approx(0.4, rel=1e-6)
    alone = Springs(WATER)
    assert torch.equal(Biased(alone, Bias())(structures).forces, alone(structures).forces)


CONFIG = ExplorationConfig(n_replicas=8, temperatures_K=(300.0,), n_steps=200, record_every=10)


def test_biased_replicas_reach_more_disagreement():
    plain = explore(COMMITTEE, [WATER], CONFIG, seed=1)
    biased = explore(COMMITTEE, [WATER], CONFIG.model_copy(update={"bias": Bias(strength=0.5)}), seed=1)
    means = [found.records["max_force_disagreement"].mean() for found in (plain, biased)]
    assert means[1] > 1.1 * means[0]
    with pytest.raises(ValueError, match="nve has no thermostat"):
        ExplorationConfig(bias=Bias(), ensemble={"scheme": "nve"})


def test_restarts_are_uncertain_and_survivable():
    frames = [WATER.moved(WATER.positions * (1 + 0.01 * i)) for i in range(6)]
    records = pd.DataFrame(
        {
            "frame_id": [f.id for f in frames],
            "replica": [0, 0, 1, 1, 2, 2],
            "time_fs": [0.0, 50.0, 0.0, 50.0, 0.0, 95.0],
            "max_force_disagreement": [0.2, 0.6, 0.3, 0.1, 0.4, 0.9],
            "verdict": ["candidate"] * 6,
            "physical": [True, False, True, True, True, True],
        }
    )
    replicas = pd.DataFrame({"replica": [0, 1, 2], "time_fs": [50.0, 100.0, 100.0]})
    exploration = Exploration(records=records, frames=tuple(frames), replicas=replicas)
    # 0.9 ended too soon after, 0.6 is unphysical; one of each replica
    assert survivable(exploration, 5, for_fs=10.0) == [frames[4], frames[2], frames[0]]
    assert survivable(exploration, 1, for_fs=10.0) == [frames[4]]
    assert survivable(exploration, 5, for_fs=60.0) == [frames[4], frames[2]]


def test_a_share_of_the_replicas_restarts():
    far = WATER.moved(WATER.positions * 1.02)
    config = CONFIG.model_copy(update={"restart_share": 0.5, "n_steps": 10})
    found = explore(COMMITTEE, [WATER], config, seed=1, restarts=[far] * 6)
    assert found.replicas["start_frame_id"].tolist() == [far.id] * 4 + [WATER.id] * 4
    few = explore(COMMITTEE, [WATER], config, seed=1, restarts=[far])
    assert few.replicas["start_frame_id"].tolist() == [far.id] + [WATER.id] * 7
    plain = explore(COMMITTEE, [WATER], CONFIG.model_copy(update={"n_steps": 10}), seed=1, restarts=[far])
    assert set(plain.replicas["start_frame_id"]) == {WATER.id}


def test_in_the_survival_test_only_the_unphysical_stops():
    """Members that quarrel from the first step on, about which the exploration stops."""
    quarrel = Springs(WATER, scales=(0.2, 1.8))
    config = CONFIG.model_copy(update={"stop_eV_per_A": 0.2, "upper_eV_per_A": 0.15, "bias": Bias()})
    assert explore(quarrel, [WATER], config, seed=0).surviving_replicas < 1
    test = SurvivalTest(replicas=2, temperatures_K=(100.0, 300.0), n_steps=50)
    found = explore(quarrel, [WATER], config.of_survival(test), seed=0)
    assert found.replicas["survived"].tolist() == [True] * 4
    assert found.replicas["bath_temperature_K"].tolist() == [100.0, 300.0, 100.0, 300.0]
    assert found.replicas["steps"].tolist() == [50] * 4
