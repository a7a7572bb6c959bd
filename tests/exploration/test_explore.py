import math

import numpy as np
import pandas as pd
import pytest
import torch

from exploration.explore import explore
from exploration.frame_sources import RandomDisplacement, XtbMD
from exploration.initial import make_frames
from exploration.ledger import Exploration
from exploration.pool import Pool
from exploration.settings import ErrorBounds, ExplorationConfig
from exploration.verdict import Outcome
from potential.calibration.calibration import EXPECTED_LENGTH, Calibration
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from potential.evaluator import Evaluator
from potential.nequip.batch import CommitteePrediction, Structures
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from tests.support.force_models import Springs

WATER = molecule("H2O")
CONFIG = ExplorationConfig(
    n_replicas=4, temperatures_K=(200.0, 600.0), n_steps=100, record_every=10, lower_eV_per_A=0.2
)
COMMITTEE = (0.9, 1.0, 1.1)


class Broken:
    """A committee of which one member, from some call on, gives NaN for one replica."""

    def __init__(self, *, call: int, structure: int, of: int, value: float = math.nan, field: str = "forces"):
        self.inner = Springs(WATER, scales=COMMITTEE)
        self.call, self.structure, self.of, self.value, self.field = call, structure, of, value, field
        self.calls = 0

    def __call__(self, structures, *, stress=False) -> CommitteePrediction:
        prediction = self.inner(structures)
        self.calls += 1
        if self.calls > self.call and structures.n_structures == self.of:
            if self.field == "forces":
                prediction.forces[1, structures.structure == self.structure] = self.value
            else:
                prediction.energy[1, self.structure] = self.value
        return prediction


def of_replica(found: Exploration, replica: int) -> pd.DataFrame:
    return found.records[found.records["replica"] == replica].reset_index(drop=True)


def test_a_healthy_run_records_everything():
    calls = []
    model = Springs(WATER, scales=COMMITTEE)
    found = explore(
        model, [WATER], CONFIG, seed=0, origin={"round": 2}, progress=lambda done, n: calls.append((done, n))
    )
    assert len(found.records) == len(found.frames) == 4 * 10
    assert found.records["frame_id"].tolist() == [f.id for f in found.frames]
    assert (
        found.counts
        == found.records["verdict"]
        .value_counts()
        .reindex(["accurate", "candidate", "failed"], fill_value=0)
        .to_dict()
    )
    assert found.counts["accurate"] > 0
    assert found.counts["candidate"] > 0
    assert calls == [(10 * k, 100) for k in range(1, 11)]
    assert found.surviving_replicas == 1.0
    assert found.replicas["bath_temperature_K"].tolist() == [200.0, 600.0, 200.0, 600.0]
    last = found.frames[-1].origin
    assert last == {"round": 2, "replica": 3, "step": 100, "bath_temperature_K": 600.0, "start": WATER.id}
    disagreement = found.records["max_force_disagreement"]
    accurate = found.records["verdict"] == "accurate"
    assert disagreement[accurate].max() < 0.2 <= disagreement[~accurate].min()
    assert len(model.atoms_seen) == 101  # one call for the start and one a step, for all replicas


def test_the_same_seed_gives_the_same_ledger():
    model = Springs(WATER, scales=COMMITTEE)
    first, second, other = (explore(model, [WATER], CONFIG, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first.records, second.records)
    assert not set(first.records["frame_id"]) & set(other.records["frame_id"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("forces", math.nan),
        ("forces", -math.inf),
        ("forces", 1e30),
        ("energy", math.nan),
        ("energy", math.inf),
    ],
)
def test_a_broken_replica_fails_and_leaves_the_others_alone(field, value):
    healthy = explore(Springs(WATER, scales=COMMITTEE), [WATER], CONFIG, seed=3)
    model = Broken(call=25, structure=1, of=4, value=value, field=field)
    found = explore(model, [WATER], CONFIG, seed=3)
    fate = found.replicas.set_index("replica").loc[1]
    assert not fate["survived"]
    assert fate["steps"] == 25
    assert fate["stop_reason"].startswith("explodes" if value == 1e30 else "not finite")
    last = of_replica(found, 1).iloc[-1]
    assert (last["step"], last["verdict"]) == (25, "failed")
    assert all(math.isfinite(x) for f in found.frames for x in f.positions.flat)
    for replica in (0, 2, 3):
        pd.testing.assert_frame_equal(of_replica(found, replica), of_replica(healthy, replica))
    assert model.inner.atoms_seen[25:27] == [12, 9]  # who has stopped costs nothing


def test_nothing_is_ever_called_accurate_or_candidate_without_being_finite():
    def lost(structures, *, stress=False):
        n = len(structures.positions)
        return CommitteePrediction(
            energy=torch.full((3, structures.n_structures), math.nan), forces=torch.full((3, n, 3), math.nan)
        )

    found = explore(lost, [WATER], CONFIG, seed=0)
    assert found.counts == {"accurate": 0, "candidate": 0, "failed": 4}
    assert found.surviving_replicas == 0.0
    assert found.replicas["steps"].tolist() == [0] * 4


def test_collapsing_and_overheated_and_lost_replicas_stop_with_their_reason():
    short = Springs(WATER.moved(WATER.positions * 0.5), scales=COMMITTEE)
    collapsed = explore(short, [WATER], CONFIG.model_copy(update={"stop_eV_per_A": 100.0}), seed=0)
    assert collapsed.replicas["stop_reason"].str.startswith("too close").all()

    stretched = WATER.moved(WATER.positions * 1.4)
    hot = explore(
        Springs(WATER), [stretched], CONFIG.model_copy(update={"max_temperature_factor": 3.0}), seed=0
    )
    assert hot.replicas["stop_reason"].str.startswith("too hot").all()

    quarrel = Springs(WATER, scales=(0.2, 1.8))
    lost = explore(quarrel, [WATER], CONFIG, seed=0)
    assert lost.replicas["stop_reason"].str.contains("lost|too hot").any()
    assert lost.counts["failed"] > 0
    uncertain = lost.records["reason"].str.startswith(("lost", "too uncertain"))
    assert uncertain.any()
    assert lost.physical.tolist() == ((lost.records["verdict"] != "failed") | uncertain).tolist()
    assert not hot.physical.all()


def test_starts_are_drawn_without_repeats_while_they_last():
    starts = [WATER.moved(WATER.positions * (1 + 0.001 * i)) for i in range(6)]
    found = explore(Springs(WATER), starts, CONFIG.model_copy(update={"n_steps": 10}), seed=1)
    assert found.replicas["start_frame_id"].nunique() == 4
    few = explore(Springs(WATER), starts[:3], CONFIG.model_copy(update={"n_steps": 10}), seed=1)
    assert few.replicas["start_frame_id"].nunique() == 3
    with pytest.raises(ValueError, match="at least one structure to start from"):
        explore(Springs(WATER), [], CONFIG, seed=1)


@pytest.mark.parametrize("broken", [False, True])
def test_saved_and_loaded_it_is_the_same(tmp_path, broken):
    model = Broken(call=25, structure=1, of=4) if broken else Springs(WATER)  # without or with candidates
    found = explore(model, [WATER], CONFIG, seed=4, origin={"round": 0})
    found.save(tmp_path)
    again = Exploration.load(tmp_path)
    pd.testing.assert_frame_equal(again.records, found.records, rtol=1e-12)
    pd.testing.assert_frame_equal(again.replicas, found.replicas, rtol=1e-12)
    assert again.frames == found.frames
    assert [f.origin for f in again.frames] == [f.origin for f in found.frames]
    assert again.counts == found.counts


def test_an_old_ledger_counts_failed_frames_as_unphysical(tmp_path):
    found = explore(Springs(WATER, scales=(0.2, 1.8)), [WATER], CONFIG, seed=0)
    found.save(tmp_path)
    pd.read_csv(tmp_path / "ledger.csv").drop(columns="physical").to_csv(tmp_path / "ledger.csv", index=False)
    old = Exploration.load(tmp_path)
    assert old.physical.tolist() == (old.records["verdict"] != "failed").tolist()
    assert old.physical.sum() < found.physical.sum()


def test_a_ledger_without_its_frames_is_refused(tmp_path):
    explore(Springs(WATER), [WATER], CONFIG, seed=4).save(tmp_path)
    (tmp_path / "accurate.extxyz").write_text("")
    with pytest.raises(ValueError, match="delete the folder and explore again"):
        Exploration.load(tmp_path)


def test_different_molecules_under_a_real_committee():
    """An untrained NequIP committee in float32, on molecules of different sizes, with a skin."""
    config = ModelConfig(num_layers=2, num_features=4, committee_size=3)
    evaluator = Evaluator(NequIP(config, [1, 6, 8], seed=0), skin=0.5)
    exploration = CONFIG.model_copy(update={"n_steps": 20, "upper_eV_per_A": 50.0, "stop_eV_per_A": 50.0})
    found = explore(evaluator, [WATER, molecule("CH4"), molecule("CO")], exploration, seed=5)
    assert set(found.replicas["formula"]) == {"H2O", "CH4", "CO"}
    assert (found.records["max_force_disagreement"] > 0).all()
    assert found.surviving_replicas > 0
    alone = evaluator(Structures.of([found.frames[-1]]))
    assert float(alone.mean_energy) == pytest.approx(found.records["energy"].iloc[-1], abs=1e-3)
    assert found.records["verdict"].isin(list(Outcome)).all()


def test_expected_errors_are_recorded_and_judged():
    """With a calibration of exponent 1 they are the disagreement times a number, here of each element."""
    calibration = Calibration(
        exponent=1.0,
        scale=1.0,
        scales={"O": 1e-9 / 2, "H": 1e-9},
        floor=1e-9,
        ratios=(None, None, None),
        n_frames=9,
        n_atoms=99,
    )
    model = Springs(WATER, scales=COMMITTEE)
    bounds = ErrorBounds(lower_meV_per_A=1e-3, upper_meV_per_A=1e7, stop_meV_per_A=1e7)
    config = CONFIG.model_copy(update={"error_bounds": bounds})
    plain = explore(model, [WATER], config, seed=2)
    found = explore(model, [WATER], config, seed=2, calibration=calibration)
    assert "max_expected_error" not in plain.records
    assert plain.expected_error is None
    row = 3
    frame = found.frames[row]
    assert frame == plain.frames[row]  # the dynamics are the same
    disagreement = model(Structures.of([frame])).force_disagreement.numpy()
    expected = EXPECTED_LENGTH * disagreement * np.array([0.5, 1.0, 1.0])
    assert found.records["max_expected_error"][row] == pytest.approx(expected.max())
    assert found.records["mean_expected_error"][row] == pytest.approx(expected.mean())
    assert found.expected_error == pytest.approx(found.records["mean_expected_error"].mean())
    assert "expected force error" in found.records["reason"][row]
    pool = Pool.of(found, training_frames=[], descriptors=lambda frames: np.zeros((len(frames), 1)))
    assert pool.uncertainty[row] == pytest.approx(expected.max())


def test_fixed_atoms_are_refused_or_stay():
    """Batched dynamics and displacements move all atoms; ASE's dynamics obeys the constraint."""
    held = Frame.of(WATER.numbers, WATER.positions, fixed=[0])
    with pytest.raises(ValueError, match=r"atoms \[0\] of H2O are fixed.*remove the constraint"):
        explore(Springs(WATER, scales=COMMITTEE), [WATER, held], CONFIG, seed=0)
    with pytest.raises(ValueError, match=r"atoms \[0\] of H2O are fixed.*remove the constraint"):
        make_frames([held], 2, RandomDisplacement(), seed=0)
    pytest.importorskip("tblite")
    for frame in make_frames([held], 3, XtbMD(temperatures_K=(600.0,), equilibration_fs=5.0), seed=0):
        assert frame.fixed == (0,)
        assert frame.positions[0].tolist() == held.positions[0].tolist()
        assert abs(frame.positions[1:] - held.positions[1:]).max() > 0.01


def test_frames_far_from_training_are_candidates_although_the_members_agree():
    from potential.known_environments import KnownEnvironments

    rng = np.random.default_rng(0)
    learned = [WATER.moved(WATER.positions + rng.normal(0, 0.01, WATER.positions.shape)) for _ in range(20)]
    known = KnownEnvironments.of(learned)
    alike = Springs(WATER, scales=(1.0, 1.0001))
    found = explore(alike, [WATER], CONFIG, seed=0, environments=known)
    far = found.records["max_extrapolation"] > CONFIG.max_extrapolation
    assert far.any()
    assert (found.records["max_force_disagreement"] < CONFIG.lower_eV_per_A).all()
    assert set(found.records["verdict"][far]) == {"candidate"}
    assert set(found.records["verdict"][~far]) <= {"accurate"}
    for row, frame in zip(found.records.itertuples(), found.frames, strict=True):
        assert row.max_extrapolation == pytest.approx(known.extrapolation(frame).max())
