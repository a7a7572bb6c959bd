from pathlib import Path

import pytest

from flows.cli import run_command
from labeling.attempt import attempt
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.dataset import Label
from potential.frame import Frame


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
