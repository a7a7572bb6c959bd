from pathlib import Path

import numpy as np
import pytest

from flows.cli.app import run_command
from labeling.attempt import attempt
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
    assert run_command(["labels", "import", str(finished_campaign), str(file)]) == 2
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
