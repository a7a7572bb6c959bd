import dataclasses
import subprocess
import sys
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase.build import bulk

from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.dataset import Label
from potential.data.frame import Frame
from tests.support.argon import LEVEL, cluster


def failure_of(frame: Frame, kind: str = "timeout") -> LabelFailure:
    return LabelFailure(frame_id=frame.id, level_key=LEVEL.key, kind=kind, message="too slow", attempts=2)  # type: ignore[arg-type]


def test_a_label_comes_back_as_it_was(store: LabelStore) -> None:
    frame = cluster(0, round=1, replica=3, source="md", step_label="0012", temperature_K=300.5)
    label = compute(frame, LEVEL)
    assert store.get(frame.id, LEVEL.key) is None
    assert store.add(frame, label)
    back = LabelStore(store.path).get(frame.id, LEVEL.key)
    assert back is not None
    assert back.frame_id == frame.id
    assert back.level_key == LEVEL.key
    assert back.energy == label.energy
    assert np.array_equal(back.forces, label.forces)
    assert back.stress is None
    assert back.provenance == label.provenance
    (item,) = store
    assert item.frame == frame
    assert item.frame.origin == frame.origin


def test_every_kind_of_frame_keeps_its_id(store: LabelStore) -> None:
    rng = np.random.default_rng(5)
    frames = [
        Frame.of(
            rng.integers(1, 90, n),
            rng.normal(0, 10.0 ** rng.integers(-3, 4), (n, 3)),
            rng.normal(0, 9, (3, 3)),
            rng.random(3) < 0.5,
            charge=int(rng.integers(-2, 3)),
            spin=int(rng.integers(0, 4)),
        )
        for n in rng.integers(1, 12, 40)
    ]
    for frame in frames:
        forces = rng.normal(size=(len(frame), 3))
        store.add(frame, Label(frame_id=frame.id, level_key=LEVEL.key, energy=-1.5, forces=forces))
    assert [item.frame.id for item in store] == [frame.id for frame in frames]
    assert store.frames(LEVEL.key) == frames
    assert store.dataset(frames, LEVEL.key).frames == frames


def test_ids_that_read_as_numbers_are_kept(store: LabelStore) -> None:
    """ase.db refuses text that looks like a number, and some hex ids do."""
    frame = cluster(1)
    label = dataclasses.replace(compute(frame, LEVEL), level_key="123456789012")
    assert store.add(frame, label)
    assert store.get(frame.id, "123456789012") is not None
    assert store.counts("123456789012") == {"labelled": 1}


def test_stress_comes_back(store: LabelStore) -> None:
    atoms = bulk("Ar", "fcc", a=5.2, cubic=True)
    atoms.rattle(0.1, seed=0)
    frame = Frame.from_atoms(atoms)
    label = compute(frame, LEVEL)
    store.add(frame, label)
    back = store.get(frame.id, LEVEL.key)
    assert back is not None
    assert back.stress is not None
    assert label.stress is not None
    assert np.array_equal(back.stress, label.stress)


def test_a_success_replaces_a_failure_and_nothing_replaces_a_success(store: LabelStore) -> None:
    frame = cluster(2)
    assert store.add_failure(frame, failure_of(frame, "crashed"))
    assert store.add_failure(frame, failure_of(frame))
    assert store.failure(frame.id, LEVEL.key) == failure_of(frame)
    assert store.get(frame.id, LEVEL.key) is None
    assert store.failures(LEVEL.key) == [(frame, failure_of(frame))]
    assert len(store) == 0
    label = compute(frame, LEVEL)
    assert store.add(frame, label)
    assert store.failure(frame.id, LEVEL.key) is None
    assert not store.add_failure(frame, failure_of(frame))
    assert not store.add(frame, dataclasses.replace(label, energy=0.0))
    back = store.get(frame.id, LEVEL.key)
    assert back is not None
    assert back.energy == label.energy
    assert store.counts() == {"labelled": 1}


def rejected(frame: Frame) -> LabelFailure:
    return dataclasses.replace(failure_of(frame, "rejected_by_check"), label=compute(frame, LEVEL))


def test_quarantine_keeps_the_numbers_and_a_person_can_release_them(store: LabelStore) -> None:
    frame, other = cluster(0, round=1), cluster(1)
    store.add_failure(frame, rejected(frame))
    store.add_failure(other, failure_of(other))
    assert store.get(frame.id, LEVEL.key) is None
    assert len(store.dataset([frame], LEVEL.key)) == 0
    failure = store.failure(frame.id, LEVEL.key)
    assert failure is not None
    assert failure.label is not None
    assert failure.label.energy == compute(frame, LEVEL).energy
    released = store.release(frame.id, LEVEL.key)
    back = store.get(frame.id, LEVEL.key)
    assert back is not None
    assert np.array_equal(back.forces, compute(frame, LEVEL).forces)
    assert back.provenance["released"]["message"] == "too slow"
    assert back.provenance == released.provenance
    assert store.failure(frame.id, LEVEL.key) is None
    assert store.counts(LEVEL.key) == {"labelled": 1, "timeout": 1}
    assert store.frames(LEVEL.key)[0].origin == {"round": 1}
    with pytest.raises(KeyError, match="not in quarantine"):
        store.release(frame.id, LEVEL.key)
    with pytest.raises(ValueError, match=r"no numbers to release \(timeout"):
        store.release(other.id, LEVEL.key)


def test_a_failure_can_be_forgotten_a_label_cannot(store: LabelStore) -> None:
    frame, other = cluster(0), cluster(1)
    store.add_failure(frame, failure_of(frame))
    store.add(other, compute(other, LEVEL))
    store.forget_failure(frame.id, LEVEL.key)
    assert store.failure(frame.id, LEVEL.key) is None
    assert store.counts() == {"labelled": 1}
    with pytest.raises(KeyError, match="not in quarantine"):
        store.forget_failure(other.id, LEVEL.key)
    assert store.add(frame, compute(frame, LEVEL))


def test_labels_of_two_levels_stand_side_by_side(store: LabelStore) -> None:
    frame, other = cluster(3), LennardJonesLevel(cutoff_angstrom=7.0)
    store.add(frame, compute(frame, LEVEL))
    store.add(frame, compute(frame, other))
    assert len(store) == 2
    assert store.counts(other.key) == {"labelled": 1}
    assert len(store.dataset([frame], LEVEL.key)) == 1


def test_dataset_keeps_the_order_asked_for_and_leaves_out_what_has_no_label(store: LabelStore) -> None:
    frames = [cluster(seed) for seed in range(4)]
    for frame in frames[:2]:
        store.add(frame, compute(frame, LEVEL))
    store.add_failure(frames[2], failure_of(frames[2]))
    dataset = store.dataset([frames[3], frames[1].id, frames[2], frames[0]], LEVEL.key)
    assert [item.frame.id for item in dataset] == [frames[1].id, frames[0].id]
    assert store.counts(LEVEL.key) == {"labelled": 2, "timeout": 1}


def test_what_belongs_to_another_frame_is_refused(store: LabelStore) -> None:
    with pytest.raises(ValueError, match="belongs to frame"):
        store.add(cluster(0), compute(cluster(1), LEVEL))
    with pytest.raises(ValueError, match="belongs to frame"):
        store.add_failure(cluster(0), failure_of(cluster(1)))


def test_ase_reads_the_file(store: LabelStore) -> None:
    frame, failed = cluster(0, round=2), cluster(1)
    label = compute(frame, LEVEL)
    store.add(frame, label)
    store.add_failure(failed, failure_of(failed))
    atoms = ase.db.connect(store.path).get_atoms(
        frame_id=f"frame-{frame.id}", status="labelled", origin_round=2
    )
    assert atoms.get_potential_energy() == label.energy
    assert np.array_equal(atoms.get_forces(), label.forces)
    listed = subprocess.run(
        [sys.executable, "-m", "ase", "db", str(store.path), "failure=timeout"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Rows: 1" in listed.stdout, listed.stderr


@pytest.mark.parametrize(
    "origin",
    [
        {"my key": 1, "dash-ed": "x", "1st": 2.0, "": 3, "é": 4, "newline\n": 5},
        {"huge": 10**400, "large": 2**70, "inf": float("inf"), "nan": float("nan")},
        {"nul": "a\0b", "surrogate": "\ud800", "number": "12e45", "bool": "True", "empty": ""},
        {"nested": {"__ndarray__": [[2], "float64", 0]}, "list": [1, [2]], "none": None},
        {"external_tables": 1, "energy": 2, "id": 3, "H": 4},
    ],
)
def test_no_origin_costs_a_label(store: LabelStore, origin: dict[str, object]) -> None:
    """What ase.db does not take for a key or value is in `data` all the same."""
    frame = cluster(0).moved(cluster(0).positions, origin=origin)
    assert store.add(frame, compute(frame, LEVEL))
    (item,) = store
    assert repr(item.frame.origin) == repr(dict(sorted(origin.items())))
    assert "origin_my key" not in next(store.rows()).columns


@pytest.mark.slow
def test_twenty_thousand_rows_are_counted_and_verified_in_time(tmp_path: Path) -> None:
    """In seconds of the processor, without the checks of types that the tests add.

    The aim is 0.2 and 3 s; a processor that others use as well takes longer for the same.
    """
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "labels.db")], capture_output=True, text=True, timeout=600
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr


MANY = """
import sys, time
import numpy as np
from labeling.attempt import attempt
from labeling.level import LennardJonesLevel
from labeling.statistics import statistics
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame

level, rng = LennardJonesLevel(), np.random.default_rng(0)
grid = 3.9 * np.stack(np.meshgrid([0, 1, 2], [0, 1, 2], [0]), axis=-1).reshape(-1, 3)
first = Frame.of([18] * 9, grid, origin={"round": 1, "replica": 3, "step": 1200, "temperature_K": 300.0})
made = attempt(first, level)
stages = {"scf_rung": "diis", "scf_cycles": {"coarse": 8, "diis": 4}, "scf_seconds": 2.5}
def moved(i):
    frame = first.moved(grid + rng.normal(0, 0.01, grid.shape), origin=first.origin)
    said = {**made.provenance, **stages, "gradient_seconds": 1.5, "seconds": 4.5}
    numbers = {"energy": made.energy, "forces": made.forces}
    label = Label(frame_id=frame.id, level_key=level.key, provenance=said, **numbers)
    return LabelledFrame(frame=frame, label=label)

store = LabelStore(sys.argv[1])
store.add_all(moved(i) for i in range(20000))
def timed(function):
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        found = function(store)
        best = min(best, time.process_time() - began)
    return found, best
(level,), counting = timed(statistics)
found, verifying = timed(verify)
print(f"statistics {counting:.3f} s, verify {verifying:.2f} s")
assert (level.labels, level.rungs) == (20000, {"diis": 20000})
assert abs(level.seconds["other"] - 20000 * 0.5) < 1e-6
assert (found.labels, found.without_digest) == (20000, 0)
assert counting < 0.2
assert verifying < 4.0
"""
