"""Another run of a campaign that has ended says so at once, without Prefect and torch, and misses nothing."""

import json
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.cli.run import nothing_to_do
from flows.errors import StageChangedError
from flows.record.folder import CampaignFolder
from tests.support.lj_campaign import change, copy_of


@pytest.fixture
def ended(whole_campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{whole_campaign / 'mlflow.db'}")
    return copy_of(whole_campaign, tmp_path)


def test_it_is_said_with_the_table_and_where_to_look(
    ended: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")  # where nobody answers
    assert run_command(["run", str(ended)]) == 0
    said = capsys.readouterr().out
    assert "round 1, its last, is done; nothing is left to do" in said
    assert "potential" in said


def test_a_stage_that_is_gone_is_left_to_do(ended: Path) -> None:
    folder = CampaignFolder.open(ended)
    assert nothing_to_do(folder)
    (folder.round(1).calibrate / "summary.json").unlink()
    assert not nothing_to_do(folder)


def test_a_file_that_was_altered_is_told(ended: Path) -> None:
    folder = CampaignFolder.open(ended)
    with (folder.round(0).train / "history.csv").open("a") as file:
        file.write("0\n")
    with pytest.raises(StageChangedError, match="altered"):
        nothing_to_do(folder)


def test_other_settings_and_a_store_that_was_not_told_are_left_to_do(
    ended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CampaignFolder.open(ended)
    record = json.loads(folder.tracking.read_text())
    folder.tracking.write_text(json.dumps(record | {"complete": None}))
    assert not nothing_to_do(folder)
    folder.tracking.write_text(json.dumps(record))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'another.db'}")
    assert not nothing_to_do(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record["complete"])
    change(ended, rounds=2)
    assert not nothing_to_do(CampaignFolder.open(ended))
