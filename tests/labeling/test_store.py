import dataclasses
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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

LEVEL = LennardJonesLevel()


def cluster(seed: int, **origin: int | str | float) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return Frame.of(
        [18] * 4, positions + np.random.default_rng(seed).normal(0, 0.1, (4, 3)), origin=dict(origin)
    )


def failure_of(frame: Frame, kind: str = "timeout") -> LabelFailure:
    return LabelFailure(frame_id=frame.id, level_key=LEVEL.key, kind=kind, message="too slow", attempts=2)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "campaign" / "labels.db")


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
    assert repr(item.frame.origin) == repr(origin)
    assert "origin_my key" not in next(store.rows()).columns


def test_connections_are_kept_and_given_back(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[sqlite3.Connection]()
    connect = sqlite3.connect

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", counted)
    store = LabelStore(store.path)
    frames = [cluster(seed) for seed in range(6)]
    for frame in frames:
        store.add(frame, compute(frame, LEVEL))
        store.get(frame.id, LEVEL.key)
    assert len(opened) <= 2  # one to look whether the tables are there
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda frame: store.get(frame.id, LEVEL.key), frames * 20))
    assert len(opened) <= 4
    del store
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_forked_process_and_its_parent_do_not_share_a_connection(store: LabelStore) -> None:
    frames = [cluster(seed) for seed in range(3)]
    store.add(frames[0], compute(frames[0], LEVEL))
    child = os.fork()
    if child == 0:
        try:
            mine = store.connections._idle[0].connection
            store.add(frames[1], compute(frames[1], LEVEL))
            assert store.connections._idle[0].connection is not mine
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    store.add(frames[2], compute(frames[2], LEVEL))
    assert store.frames(LEVEL.key) == frames


def test_a_store_can_be_sent_to_another_process(store: LabelStore) -> None:
    store.add(cluster(0), compute(cluster(0), LEVEL))
    assert len(pickle.loads(pickle.dumps(store))) == 1  # noqa: S301  our own, as dask and Prefect send it


def test_a_file_that_takes_the_place_of_the_store_is_noticed(store: LabelStore, tmp_path: Path) -> None:
    """Written into a file without a name, labels would be lost."""
    other = LabelStore(tmp_path / "other.db")
    store.add(cluster(0), compute(cluster(0), LEVEL))
    other.close()
    os.replace(tmp_path / "other.db", store.path)
    store.add(cluster(1), compute(cluster(1), LEVEL))
    assert LabelStore(store.path).frames(LEVEL.key) == [cluster(1)]
    Path(store.path).unlink()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        store.add(cluster(2), compute(cluster(2), LEVEL))


def test_a_store_that_may_only_be_read_is_read(store: LabelStore) -> None:
    store.add(cluster(0), compute(cluster(0), LEVEL))
    store.close()
    Path(store.path).chmod(0o444)
    again = LabelStore(store.path)
    assert len(again) == 1
    assert again.frames(LEVEL.key) == [cluster(0)]


def test_reading_holds_nothing_up(store: LabelStore) -> None:
    for seed in range(3):
        store.add(cluster(seed), compute(cluster(seed), LEVEL))
    reader = iter(store)
    next(reader)
    assert LabelStore(store.path, patience_s=0.0).add(cluster(3), compute(cluster(3), LEVEL))
    assert len(list(reader)) == 2


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
assert verifying < 5.0
"""


WRITER = """
import sys
import numpy as np
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.dataset import Label
from potential.data.frame import Frame

path, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = LabelStore(path)
print("ready", flush=True)
for i in range(first, last):
    frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.5 + 1e-3 * i]])
    label = Label(frame_id=frame.id, level_key="0" * 11 + "a", energy=float(i), forces=np.zeros((2, 3)))
    print(int(store.add(frame, label)), i, frame.id, flush=True)
"""


def start_writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(last)], stdout=subprocess.PIPE, text=True
    )


def test_writers_in_several_processes_make_one_row_each(tmp_path: Path) -> None:
    """All create the file at once and write the same frames: each row is written exactly once."""
    path, n = tmp_path / "labels.db", 15
    outputs = [writer.communicate(timeout=90)[0] for writer in [start_writer(path, 0, n) for _ in range(3)]]
    lines = [line.split() for output in outputs for line in output.splitlines() if line != "ready"]
    assert len(lines) == 3 * n
    assert sum(int(written) for written, *_ in lines) == n
    assert len(LabelStore(path)) == n
    assert len(ase.db.connect(path)) == n


def test_threads_make_one_row_each(store: LabelStore) -> None:
    frames = [cluster(seed) for seed in range(8)] * 3
    with ThreadPoolExecutor(6) as threads:
        written = list(threads.map(lambda frame: store.add(frame, compute(frame, LEVEL)), frames))
    assert sum(written) == 8
    assert store.counts() == {"labelled": 8}


def test_a_writer_killed_in_mid_write_loses_nothing_it_had_reported(tmp_path: Path) -> None:
    path, reported = tmp_path / "labels.db", 0
    for attempt in range(4):
        writer = start_writer(path, 1000 * attempt, 1000 * attempt + 1000)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.07 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        reported += sum(line.endswith("\n") for line in writer.stdout)
        writer.wait()
        writer.stdout.close()
    assert reported > 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = LabelStore(path)
    labels = list(store)
    # A row may be on disk before its writer could say so, one per kill.
    assert reported <= len(labels) <= reported + 4
    assert all(item.label.forces.shape == (2, 3) for item in labels)
    frame = cluster(0)
    assert store.add(frame, compute(frame, LEVEL))
