"""Commands on the folder of a campaign that has ended, or was stopped."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.record.folder import CampaignFolder
from flows.record.roles import frozen_frames
from potential.data.role import role_of
from potential.data.structure_files import read_frames, write_frames
from potential.roles import Roles


@pytest.fixture(scope="module")
def finished(whole_campaign: Path) -> CampaignFolder:
    return CampaignFolder.open(whole_campaign / "campaigns" / "lj")


def test_its_export_says_what_each_frame_is_for(
    finished: CampaignFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "labels.extxyz"
    assert run_command(["labels", "export", str(finished.path), str(file)]) == 0
    assert "(role: 1 held out, 7 test, 8 train)" in capsys.readouterr().out
    frames = read_frames(file)
    by_role = {role: {f.id for f in frames if role_of(f) == role} for role in ("train", "held_out", "test")}
    last = Roles.load(finished.round(1).potential)
    assert by_role["train"] == set(last.ids("train"))
    assert by_role["held_out"] == set(last.ids("held_out"))
    assert by_role["test"] == {frame.id for frame in frozen_frames(finished)}
    assert by_role["test"] == set(Roles.load(finished.potential).ids("test"))


def test_evaluate_scores_its_frozen_tests(finished: CampaignFolder, capsys: pytest.CaptureFixture[str]):
    assert run_command(["evaluate", str(finished.path)]) == 0
    said = capsys.readouterr().out
    card = json.loads((finished.potential / "model_card.json").read_text())
    mae = card["test errors"]["force MAE, meV/Å"]
    low, high = card["95 % intervals of the test errors"]["force MAE, meV/Å"]
    assert f"{mae:10.2f} meV/Å      95 % interval {low:.3g} to {high:.3g}" in said
    assert "frozen test, 4 frames" in said
    assert "broad test, 3 frames" in said


def test_a_selection_is_replayed_from_disk(
    finished: CampaignFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run_command(["select", str(finished.path), "--replay"]) == 0
    n = finished.results()[0].selection.n_selected
    assert f"round 0: {n} frames by kmeans_pp, the same again" in capsys.readouterr().out
    shutil.copytree(finished.path, tmp_path / "lj")
    first, *rest = read_frames(tmp_path / "lj/rounds/00/select/selected.extxyz", check=False)
    write_frames(tmp_path / "lj/rounds/00/select/selected.extxyz", [*rest, first])
    assert run_command(["select", str(tmp_path / "lj"), "--replay"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out
    assert run_command(["select", str(finished.path), "--replay", "--round", "1"]) == 2
    assert "there are 0" in capsys.readouterr().err
    assert run_command(["select", str(finished.path), "--replay", "--arm", "other"]) == 2


def test_status_tells_rounds_labels_and_verdict(finished: CampaignFolder, capsys: pytest.CaptureFixture[str]):
    assert run_command(["status", str(finished.path)]) == 0
    said = capsys.readouterr().out
    assert "finished; 16 labels, without label: 1 rejected_by_check" in said
    assert "force MAE" in said
    assert "on the 4 frozen test frames" in " ".join(said.split())


def test_status_of_a_campaign_that_was_stopped(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    path = write_lj_campaign(tmp_path)
    assert run_command(["status", str(path)]) == 0
    assert "not started yet" in capsys.readouterr().out
    folder = CampaignFolder.open(path)
    folder.write_config()
    for done in (folder.frames, folder.first_labels):
        done.mkdir()
        (done / "manifest.json").write_text("{}")
    folder.round(0).train.mkdir(parents=True)
    (folder.round(0).train / "started.json").write_text("{}")
    assert run_command(["status", str(folder.path)]) == 0
    assert "stopped before: round 0, training (half done)" in capsys.readouterr().out
