import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flows.cli import open_store
from flows.cli.app import run_command
from labeling import database, spool
from labeling.attempt import attempt
from labeling.exchange import read_labels
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import write_frames


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    store = LabelStore(tmp_path / "labels.db")
    for i in range(3):
        frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.6 + 0.1 * i]])
        label = attempt(frame, LennardJonesLevel())
        assert isinstance(label, Label)
        store.add(frame, label)
    return store


def test_stats_and_verify(store: LabelStore, capsys: pytest.CaptureFixture[str]):
    assert run_command(["labels", "stats", str(store.path)]) == 0
    assert "labels      3, " in capsys.readouterr().out
    assert run_command(["labels", "verify", str(store.path)]) == 0
    assert "3 labels, all sound" in capsys.readouterr().out


def test_out_and_into_another_store(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, other = tmp_path / "x.extxyz", tmp_path / "other.db"
    assert run_command(["labels", "export", str(store.path), str(file)]) == 0
    for new in (3, 0):
        assert run_command(["labels", "import", str(other), str(file)]) == 0
        assert f"{new} new labels" in capsys.readouterr().out
    assert len(LabelStore(other)) == 3


def test_into_a_campaign_of_another_level_is_refused(
    store: LabelStore, tmp_path: Path, finished_campaign: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "x.extxyz"
    run_command(["labels", "export", str(store.path), str(file)])
    into = ["labels", "import", str(finished_campaign), str(file), "--any-composition"]
    assert run_command(into) == 2
    assert "do not mix" in capsys.readouterr().err
    assert len(LabelStore(finished_campaign / "labels.db")) == 0


def test_labels_are_compared_with_others_of_the_same_structures(
    store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The others are higher by 2, 4 and 6 meV, their first force component by 3 meV/Å."""
    mine, others = tmp_path / "mine.extxyz", tmp_path / "others.extxyz"
    run_command(["labels", "export", str(store.path), str(mine)])
    moved = []
    for i, item in enumerate(store, start=1):
        forces = item.label.forces.copy()
        forces[0, 0] += 0.003
        energy = item.label.energy + 0.002 * i
        label = Label(frame_id=item.frame.id, level_key="other", energy=energy, forces=forces)
        moved.append(LabelledFrame(frame=item.frame, label=label))
    write_frames(others, moved)
    capsys.readouterr()
    assert run_command(["labels", "compare", str(mine), str(others)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 frames compared",
        "forces  MAE 0.50, RMSE 1.22, largest 3.00 meV/Å",
        f"energy  offset -4.00, spread {2 * np.sqrt(2 / 3):.3f} meV",
    ]
    write_frames(others, moved[:1])
    assert run_command(["labels", "compare", str(mine), str(others)]) == 0
    assert "1 frames compared, 2 in one file only" in capsys.readouterr().out


def test_labels_of_other_structures_are_not_compared(
    store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first, second = (tmp_path / f"{name}.extxyz" for name in ("first", "second"))
    items = list(store)
    write_frames(first, items[:1])
    write_frames(second, items[1:])
    assert run_command(["labels", "compare", str(first), str(second)]) == 2
    assert "no structure is in both" in capsys.readouterr().err


def test_a_store_may_have_any_name(store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = Path(store.path).rename(tmp_path / "mine.sqlite")
    assert run_command(["labels", "verify", str(path)]) == 0
    assert "3 labels, all sound" in capsys.readouterr().out


def test_a_database_out_of_reach_is_told(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("ase_db_backends")
    pytest.importorskip("psycopg2")
    assert run_command(["labels", "stats", "postgresql://nobody@127.0.0.1:9/nothing"]) == 2
    assert "label store" in capsys.readouterr().err


def test_an_empty_store_is_said_to_be_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = LabelStore(tmp_path / "labels.db").path
    for command in ("stats", "verify"):
        assert run_command(["labels", command, str(path)]) == 0
        assert "the store is empty" in capsys.readouterr().out


def test_altered_values_are_told_and_an_old_store_is_upgraded(
    store: LabelStore, capsys: pytest.CaptureFixture[str]
):
    with closing(sqlite3.connect(store.path)) as connection, connection:
        for number, data in connection.execute("SELECT id, data FROM systems").fetchall():
            old = data.replace(b'"digest":', b'"other":')
            connection.execute("UPDATE systems SET data = ? WHERE id = ?", (old, number))
    assert run_command(["labels", "verify", str(store.path)]) == 0
    told = capsys.readouterr().out
    assert "3 labels, all sound" in told
    assert "3 rows without a digest (written by an older version)" in told
    assert run_command(["labels", "upgrade", str(store.path)]) == 0
    assert "3 rows have a digest now" in capsys.readouterr().out
    assert run_command(["labels", "upgrade", str(store.path)]) == 0
    assert "every row has its digest" in capsys.readouterr().out

    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE systems SET energy = energy - 1 WHERE id < 3")
    assert run_command(["labels", "verify", str(store.path)]) == 1
    told = capsys.readouterr().err
    assert "2 problems" in told
    assert "row 2: the values of" in told
    assert run_command(["labels", "upgrade", str(store.path)]) == 1


def test_labels_of_several_levels_are_exported_one_at_a_time(
    store: LabelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other, file = LennardJonesLevel(cutoff_angstrom=7.0), tmp_path / "x.extxyz"
    frame = next(iter(store)).frame
    label = attempt(frame, other)
    assert isinstance(label, Label)
    store.add(frame, label)
    assert run_command(["labels", "export", str(store.path), str(file)]) == 2
    told = capsys.readouterr().err
    assert "do not mix" in told
    assert other.key in told
    assert run_command(["labels", "export", str(store.path), str(file), "--level", other.key[:5]]) == 0
    assert "wrote 1 labels" in capsys.readouterr().out
    assert {key for item in read_labels(file) for key in [item.label.level_key]} == {other.key}


def labelling(tmp_path: Path, origin: str) -> list[str]:
    (tmp_path / "level.yaml").write_text("labeler: lennard_jones\n")
    (tmp_path / "argon.extxyz").write_text(
        "".join(
            f"2\nProperties=species:S:1:pos:R:3 origin={origin}\nAr 0 0 0\nAr 0 0 3.{i}\n" for i in (6, 7)
        )
    )
    files = {"--level": "level.yaml", "--store": "s.db", "--output": "o.extxyz"}
    options = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    return ["label", str(tmp_path / "argon.extxyz"), *options, "--workers", "1"]


def test_a_key_that_is_none_costs_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Case 16: an `origin` of another program."""
    command = labelling(tmp_path, """\"{'my key': 1, 'date-of': 'today'}\"""")
    assert run_command(command) == 0
    assert run_command(["labels", "stats", str(tmp_path / "s.db")]) == 0
    assert "labels      2, " in capsys.readouterr().out
    assert next(iter(LabelStore(tmp_path / "s.db"))).frame.origin == {"my key": 1, "date-of": "today"}


def test_a_store_that_stays_locked_costs_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(database, "BUSY_S", 0.02)
    monkeypatch.setattr(spool, "FIRST_PATIENCE_S", 0.1)
    monkeypatch.setattr(open_store, "LabelStore", lambda path: LabelStore(path, patience_s=0.3))
    command, path = labelling(tmp_path, "none"), tmp_path / "s.db"
    LabelStore(path).close()
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert run_command(command) == 1
        said = capsys.readouterr()
        assert said.out.count("the label store cannot be written") == 1
        assert f"2 labels wait in {path}.spool.jsonl" in said.err
        assert run_command(["labels", "stats", str(path)]) == 0
        assert "note: 2 labels wait" in capsys.readouterr().err
    assert run_command(["labels", "stats", str(path)]) == 0
    said = capsys.readouterr()
    assert f"2 labels that waited in {path}.spool.jsonl are in the label store now" in said.out
    assert "labels      2, " in said.out
    assert not Path(f"{path}.spool.jsonl").exists()
    assert run_command(command) == 0
    assert "2 labelled before" in capsys.readouterr().out
