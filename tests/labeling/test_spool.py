"""What was computed is kept, whatever keeps the store from taking it."""

import dataclasses
import json
import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from labeling import database, spool
from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.spool import Spool, StoreAwayError
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.dataset import Label
from potential.data.frame import Frame

LEVEL = LennardJonesLevel()


def argon(distance: float, **more: object) -> Frame:
    cell = 12.0 * np.eye(3)
    return Frame.of([18, 18], [[0, 0, 0], [0, 0, distance]], cell, True, origin={"round": 1}, **more)  # type: ignore[arg-type]


def failure_of(frame: Frame, label: Label | None = None) -> LabelFailure:
    kind = "rejected_by_check" if label else "timeout"
    return LabelFailure(frame_id=frame.id, level_key=LEVEL.key, kind=kind, message="no", label=label)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelStore]:
    monkeypatch.setattr(spool, "FIRST_PATIENCE_S", 0.1)
    monkeypatch.setattr(spool, "NEXT_PATIENCE_S", 0.05)
    monkeypatch.setattr(database, "BUSY_S", 0.02)
    with LabelStore(tmp_path / "labels.db", patience_s=0.2) as store:
        yield store


@pytest.fixture
def holder(store: LabelStore) -> Iterator[sqlite3.Connection]:
    """Another program, which may hold the database."""
    with closing(sqlite3.connect(store.path, check_same_thread=False)) as connection:
        yield connection


def test_a_lock_that_is_lifted_in_time_is_waited_for(store: LabelStore, holder: sqlite3.Connection) -> None:
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.4, holder.rollback).start()
    began = time.monotonic()
    assert LabelStore(store.path, patience_s=20.0).add(argon(3.6), compute(argon(3.6), LEVEL))
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_locked_store_costs_no_label(store: LabelStore, holder: sqlite3.Connection, lock: str) -> None:
    frames = [argon(3.6, info={"id": "a"}), argon(3.7, fixed=[1]), argon(3.8), argon(2.9)]
    outcomes: list[Label | LabelFailure] = [compute(frame, LEVEL) for frame in frames[:2]]
    outcomes += [failure_of(frames[2]), failure_of(frames[3], compute(frames[3], LEVEL))]
    waiting = Spool.beside(store.path, Path())
    holder.execute(lock)
    for frame, outcome in zip(frames, outcomes, strict=True):
        assert not waiting.record(store, frame, outcome)
    assert waiting.is_waiting
    with pytest.raises(StoreAwayError, match=r"4 labels wait in .*labels.db.spool.jsonl"):
        waiting.empty_into(store)
    holder.rollback()

    taken = waiting.empty_into(store)
    assert (taken.outcomes, taken.refused) == (4, ())
    assert not waiting.path.exists()
    for frame, outcome in zip(frames[:2], outcomes[:2], strict=True):
        back = store.get(frame.id, LEVEL.key)
        assert back is not None
        assert isinstance(outcome, Label)
        assert back.energy == outcome.energy
        assert np.array_equal(back.forces, outcome.forces)
        assert back.stress is not None
        assert outcome.stress is not None
        assert np.array_equal(back.stress, outcome.stress)
        assert back.provenance == outcome.provenance
    first, second = store.frames(LEVEL.key)
    assert (first.info, second.fixed, first.origin) == ({"id": "a"}, (1,), {"round": 1})
    assert store.failure(frames[2].id, LEVEL.key) == outcomes[2]
    rejected = store.failure(frames[3].id, LEVEL.key)
    assert rejected is not None
    assert rejected.label is not None
    assert verify(store).problems == ()


def test_the_next_label_takes_those_that_wait_along(store: LabelStore, holder: sqlite3.Connection) -> None:
    waiting = Spool.beside(store.path, Path())
    holder.execute("BEGIN IMMEDIATE")
    assert not waiting.record(store, argon(3.6), compute(argon(3.6), LEVEL))
    holder.rollback()
    assert waiting.record(store, argon(3.7), compute(argon(3.7), LEVEL))
    assert not waiting.is_waiting
    assert len(store) == 2


def test_what_the_store_refuses_for_another_reason_is_kept_and_told(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Spool.beside(store.path, Path())
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE species")
    with pytest.raises(sqlite3.OperationalError, match="species"):
        waiting.record(store, argon(3.6), compute(argon(3.6), LEVEL))
    other = LabelStore(Path(store.path).with_name("other.db"))
    assert waiting.empty_into(other).outcomes == 1
    with pytest.raises(ValueError, match="belongs to frame"):
        waiting.record(other, argon(3.7), compute(argon(3.6), LEVEL))
    assert not waiting.is_waiting


def test_lines_that_were_cut_or_altered_stay_and_are_told(
    store: LabelStore, holder: sqlite3.Connection
) -> None:
    waiting = Spool.beside(store.path, Path())
    holder.execute("BEGIN IMMEDIATE")
    for distance in (3.6, 3.7):
        waiting.record(store, argon(distance), compute(argon(distance), LEVEL))
    good, altered = waiting.path.read_text().splitlines()
    label = json.loads(altered)
    label["label"]["energy"] -= 1.0
    waiting.path.write_text(f"{good}\n{json.dumps(label)}\n{good[:200]}")
    waiting.record(store, argon(3.8), compute(argon(3.8), LEVEL))
    holder.rollback()
    taken = waiting.empty_into(store)
    assert taken.outcomes == 2
    assert [line.rpartition(": ")[2] for line in taken.refused] == [
        "its digest is not its own",
        "was cut off, or is no JSON",
    ]
    assert len(waiting.path.read_text().splitlines()) == 2
    assert [item.frame.positions[1, 2] for item in store] == [3.6, 3.8]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame_id": "another"}, "its label is that of another frame"),
        ({"energy": float("nan")}, "its numbers are not finite"),
        ({"forces": [[0.0, 0.0, 0.0]]}, "cannot reshape array"),
        ({"stress": [1.0, 2.0]}, "cannot reshape array"),
        (None, "was cut off, or is no JSON"),
    ],
)
def test_a_line_that_no_store_can_take_stays_and_is_told(
    store: LabelStore, change: dict[str, object] | None, said: str
) -> None:
    frame, waiting = argon(3.6), Spool.beside(store.path, Path())
    waiting._append(frame, compute(frame, LEVEL))
    content = json.loads(waiting.path.read_text())
    del content["digest"]
    content["label"] |= change or {}
    line = json.dumps({"digest": spool._digest(content), **content}) if change else "[" * 100_000
    waiting.path.write_text(f"{line}\n\n")
    taken = waiting.empty_into(store)
    assert (taken.outcomes, len(taken.refused)) == (0, 1)
    assert said in taken.words()[0]
    assert waiting.path.read_text() == f"{line}\n"


def test_a_label_that_came_in_otherwise_is_not_replaced(
    store: LabelStore, holder: sqlite3.Connection
) -> None:
    frame, waiting = argon(3.6), Spool.beside(store.path, Path())
    label = compute(frame, LEVEL)
    holder.execute("BEGIN IMMEDIATE")
    waiting.record(store, frame, dataclasses.replace(label, energy=1.0))
    holder.rollback()
    store.add(frame, label)
    waiting.empty_into(store)
    back = store.get(frame.id, LEVEL.key)
    assert back is not None
    assert back.energy == label.energy


def test_a_server_has_its_spool_in_the_folder_and_no_password_in_its_name(tmp_path: Path) -> None:
    one = Spool.beside("postgresql://me:secret@host/labels", tmp_path)
    assert one.path.parent == tmp_path
    assert one.path == Spool.beside("postgresql://me:other@host/labels", tmp_path).path
    assert one.path != Spool.beside("postgresql://me:secret@host/others", tmp_path).path


def test_on_a_full_disk_it_is_in_the_users_cache(
    store: LabelStore, holder: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full takes no byte."""
    monkeypatch.setenv("ALNICO_CACHE", str(tmp_path / "cache"))
    frame, waiting = argon(3.6), Spool.beside(store.path, Path())
    waiting.path.symlink_to("/dev/full")
    holder.execute("BEGIN IMMEDIATE")
    assert not waiting.record(store, frame, compute(frame, LEVEL))
    holder.rollback()
    (kept,) = (tmp_path / "cache").iterdir()
    assert waiting.where == str(kept)
    taken = Spool.beside(store.path, Path()).empty_into(store)
    assert taken.words() == [f"1 labels that waited in {kept} are in the label store now"]
    assert store.get(frame.id, LEVEL.key) is not None
    assert not kept.exists()


def test_a_line_for_which_there_is_no_room_leaves_no_part_of_it(store: LabelStore) -> None:
    waiting = Spool(Path(f"{store.path}.spool.jsonl"))
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not waiting.record(store, argon(3.6), compute(argon(3.6), LEVEL))
        before = waiting.path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                waiting.record(store, argon(3.7), compute(argon(3.7), LEVEL))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert waiting.path.read_bytes() == before
