"""Exploration at constant pressure: frames carry their cell, and cells have bounds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

from exploration.dynamics.npt import NPT
from exploration.explore import explore
from exploration.ledger import Exploration
from exploration.settings import ExplorationConfig
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from potential.evaluator import Evaluator
from potential.nequip.batch import CommitteePrediction, Structures
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from tests.support.force_models import OfEnergy, cosines


def crystal() -> Frame:
    """Eight argon atoms in the valleys of the cosines, at the volume that they like."""
    cell = np.eye(3) * (8 * 27.0) ** (1 / 3)
    sites = np.array(np.meshgrid(*[[0.0, 0.5]] * 3)).reshape(3, -1).T
    return Frame.of([18] * 8, sites @ cell, cell, True)


ARGON = crystal()
CRYSTAL = ExplorationConfig(
    n_replicas=3,
    temperatures_K=(100.0,),
    timestep_fs=2.0,
    n_steps=200,
    record_every=20,
    min_distance_factor=0.3,
    max_volume_factor=1.2,
    ensemble=NPT(barostat_time_fs=50, compressibility_per_GPa=0.06),
)


def test_recorded_frames_carry_the_cell_of_their_moment(tmp_path):
    found = explore(OfEnergy(cosines), [ARGON], CRYSTAL, seed=0)
    assert found.surviving_replicas == 1.0
    assert len({frame.cell.tobytes() for frame in found.frames}) == len(found.frames)
    ratios = [np.linalg.det(f.cell) / np.linalg.det(ARGON.cell) for f in found.frames]
    np.testing.assert_allclose(found.records["volume_ratio"], ratios, rtol=1e-6)
    energies = OfEnergy(cosines)(Structures.of(found.frames)).energy[0]
    np.testing.assert_allclose(found.records["energy"], energies, atol=1e-6)
    found.save(tmp_path)
    assert Exploration.load(tmp_path).frames == found.frames


@pytest.mark.parametrize(
    ("pressure_GPa", "reason"),
    [(6.0, "the cell collapses: 0.8"), (-6.0, "the cell explodes: 1.2"), (9000.0, "explodes: an atom would")],
)
def test_a_cell_that_leaves_its_bounds_stops_its_replica(pressure_GPa, reason):
    ensemble = CRYSTAL.ensemble.model_copy(update={"pressure_GPa": pressure_GPa})
    found = explore(OfEnergy(cosines), [ARGON], CRYSTAL.model_copy(update={"ensemble": ensemble}), seed=0)
    assert found.surviving_replicas == 0.0
    assert found.replicas["stop_reason"].str.startswith(reason).all()
    last = found.records.groupby("replica").tail(1)
    assert (last["verdict"] == "failed").all()
    assert last["volume_ratio"].between(1 / 1.25, 1.25).all()  # caught at once, not at the next record


def test_a_stress_that_is_not_finite_stops_its_replica_alone():
    class Torn(OfEnergy):
        calls = 0

        def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
            prediction = super().__call__(structures, stress=stress)
            self.calls += 1
            if self.calls > 30 and structures.n_structures == 3:
                prediction.stress[0, 1, 2, 2] = math.nan
            return prediction

    short = CRYSTAL.model_copy(update={"n_steps": 60})
    healthy = explore(OfEnergy(cosines), [ARGON], short, seed=0)
    found = explore(Torn(cosines), [ARGON], short, seed=0)
    fate = found.replicas.set_index("replica").loc[1]
    assert (fate["steps"], fate["stop_reason"]) == (30, "not finite: stride_A nan")
    for replica in (0, 2):
        mine, expected = (e.records[e.records["replica"] == replica] for e in (found, healthy))
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected.reset_index(drop=True))


def test_a_molecule_at_constant_pressure_is_refused():
    with pytest.raises(ValueError, match=r"scheme npt .* H2O is not periodic .* write scheme: langevin"):
        explore(OfEnergy(cosines), [molecule("H2O")], CRYSTAL, seed=0)


def test_a_crystal_at_constant_pressure_under_a_real_committee():
    """An untrained committee's stress moves the cell; energy and stress are those of a search anew."""
    diamond = Frame.from_atoms(bulk("C", cubic=True))
    config = ModelConfig(num_layers=2, num_features=4, committee_size=3, r_max=3.0)
    evaluator = Evaluator(NequIP(config, [6], seed=0), skin=0.5)
    exploration = CRYSTAL.model_copy(
        update={"timestep_fs": 1.0, "n_steps": 40, "upper_eV_per_A": 50.0, "stop_eV_per_A": 50.0}
    )
    found = explore(evaluator, [diamond], exploration, seed=5)
    assert found.surviving_replicas == 1.0
    assert (found.records["volume_ratio"] != 1.0).all()
    fresh = Evaluator(NequIP(config, [6], seed=0), skin=0.0)(Structures.of(found.frames))
    np.testing.assert_allclose(found.records["energy"], fresh.mean_energy, atol=1e-4)
