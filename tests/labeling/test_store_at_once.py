"""The label store under many hands: connections, processes, threads, a writer that is killed."""

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
import pytest

from labeling.lennard_jones import compute
from labeling.store import LabelStore
from tests.support.argon import LEVEL, cluster


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


@pytest.mark.whole
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


def test_a_locked_store_is_told_of_while_it_is_waited_for(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.database.SILENCE_S", 0.0)
    monkeypatch.setattr("labeling.database.BUSY_S", 0.01)
    store = LabelStore(store.path, patience_s=0.3)
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.warns(UserWarning, match=r"labels.*locked.*waiting for it, 0 s at most") as told,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            store.add(cluster(0), compute(cluster(0), LEVEL))
    assert len(told) == 1
    other.close()
