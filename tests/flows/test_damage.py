"""Files of a campaign that are damaged, or may only be read: said with a remedy, or got around."""

import ctypes
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
import torch

from flows.cli.app import run_command
from flows.errors import DamagedFileError
from flows.record.changes import Changes, read_changes, write_changes
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock, folder_lock
from flows.record.results import read_result, write_result
from flows.record.rounds import read_outcomes
from flows.record.stages import Stage, read_manifest
from flows.tracking.store import tracking_record
from labeling.damaged_row import NoLabelStoreError
from labeling.store import LabelStore
from potential.data.tables import DamagedTableError
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential, save_potential
from potential.training.checkpoint import load_checkpoint, save_checkpoint
from potential.training.device import check_device
from tests.support.commands import exit_codes

BAD = [b"", b"{", b"\xff\xfe\x00", b"[]", b"null"]


@pytest.mark.parametrize("content", BAD)
def test_a_damaged_manifest_or_result_says_what_to_delete(content: bytes, tmp_path: Path):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"delete {tmp_path} to make the stage anew"):
        read_manifest(tmp_path)
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match="delete it to redo it"):
        read_result(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("file", "remedy"),
    [("manifest.json", "delete .* to make the stage anew"), ("changes.json", "Put the original back")],
)
def test_a_number_that_was_altered_in_what_a_campaign_says_of_itself(file: str, remedy: str, tmp_path: Path):
    Stage(name="one", title="one", inputs=("seed",), outputs=()).run(tmp_path, {"seed": 1}, lambda into: None)
    write_changes(tmp_path, Changes(now={"rounds": 1}))
    read = {"manifest.json": read_manifest, "changes.json": read_changes}[file]
    assert read(tmp_path) is not None
    path = tmp_path / file
    for altered in (path.read_text().replace(": 1", ": 2"), "[" * 100_000):
        path.write_text(altered)
        with pytest.raises(DamagedFileError, match=remedy):
            read(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedFileError, match=remedy):
        read(tmp_path)


def test_a_number_that_was_altered_in_a_result(finished_campaign: Path, tmp_path: Path):
    path = tmp_path / "result.json"
    result = CampaignFolder.open(finished_campaign).results()[0]
    write_result(path, result)
    assert read_result(path) == result
    digest = json.loads(path.read_bytes())["digest"]
    training = result.training.model_copy(update={"seconds": result.training.seconds + 1})
    write_result(path, result.model_copy(update={"training": training}))
    assert json.loads(path.read_bytes())["digest"] == digest, "equal but for the time that it took"
    path.write_text(path.read_text().replace(f'"n_labels": {result.n_labels}', '"n_labels": 999'))
    with pytest.raises(DamagedFileError, match=r"altered.*; delete it to redo it"):
        read_result(path)


def test_a_damaged_result_in_status(first_round_only: Path, capsys: pytest.CaptureFixture[str]):
    (result,) = first_round_only.glob("rounds/*/result.json")
    result.write_bytes(b'{"round": ')
    assert run_command(["status", str(first_round_only)]) == 1
    err = capsys.readouterr().err
    assert f"{result} is not the result of a round" in err
    assert err.count("\n") <= 3


def test_a_round_without_its_result_or_with_that_of_another(
    finished_campaign: Path, capsys: pytest.CaptureFixture[str]
):
    first, second, *_ = sorted(finished_campaign.glob("rounds/*/result.json"))
    second.write_bytes(first.read_bytes())
    assert run_command(["status", str(finished_campaign)]) == 1
    assert f"{second} is the result of round 0; delete it to redo it" in capsys.readouterr().err
    second.unlink()
    for command in ("status", "report"):
        assert run_command([command, str(finished_campaign)]) == 1
        err = capsys.readouterr().err
        assert f"{second} is missing, and later rounds have theirs" in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"a,b\n1,2\n",
        b'frame_id,outcome\n"cut',
        b"frame_id,outcome\na,label\x00\x00\x00\x00\n",
        b"frame_id,outcome,seconds\na,labelled,1.0\nb,labelled,word\n",
        b'frame_id,outcome,seconds\na,labelled,"0.01\nb,labelled,0.02"\n',
    ],
)
def test_a_damaged_table_says_what_to_delete(
    content: bytes, finished_campaign: Path, capsys: pytest.CaptureFixture[str]
):
    (table, *_) = finished_campaign.glob("rounds/*/label/outcomes.csv")
    table.write_bytes(content)
    with pytest.raises(DamagedTableError, match=rf"{table} is damaged .*delete {table.parent}"):
        read_outcomes(table)
    assert run_command(["report", str(finished_campaign)]) == 1
    err = capsys.readouterr().err
    assert f"{table} is damaged" in err
    assert err.count("\n") == 1


def test_a_damaged_model_card(finished_campaign: Path, capsys: pytest.CaptureFixture[str]):
    (finished_campaign / "potential" / "model_card.json").write_bytes(b"{")
    assert run_command(["report", str(finished_campaign)]) == 1
    assert "model_card.json is damaged; delete " in capsys.readouterr().err


@pytest.mark.parametrize("content", BAD)
def test_a_damaged_record_of_mlflows_runs_is_as_none(content: bytes, finished_campaign: Path):
    folder = CampaignFolder.open(finished_campaign)
    folder.tracking.write_bytes(content)
    assert tracking_record(folder) == {}


def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path: Path):
    path = tmp_path / "checkpoint"
    for epoch in (1, 2, 3):
        save_checkpoint(path, {"w": torch.full((2,), float(epoch))}, {"identity": "me", "epoch": epoch})
    found = load_checkpoint(path, "me")
    assert found is not None
    assert found[1]["epoch"] == 3
    newest = tmp_path / "checkpoint.safetensors"
    whole = newest.read_bytes()
    for damaged in (
        whole[:-5],
        whole[:-4] + bytes(4),
        whole.replace(b'epoch\\": 3', b'epoch\\": 9'),
        b"",
        bytes(len(whole)),
    ):
        assert damaged != whole
        newest.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged"):
            found = load_checkpoint(path, "me")
        assert found is not None
        assert found[1]["epoch"] == 2
        assert found[0]["w"].tolist() == [2.0, 2.0]
    save_checkpoint(tmp_path / "other", {"w": torch.zeros(2)}, {"identity": "another's", "epoch": 7})
    newest.write_bytes((tmp_path / "other.safetensors").read_bytes())
    found = load_checkpoint(path, "me")
    assert found is not None
    assert found[1]["epoch"] == 2
    (tmp_path / "checkpoint.before.safetensors").write_bytes(b"")
    newest.unlink()
    newest.mkdir()
    with pytest.raises(IsADirectoryError, match=r"checkpoint\.safetensors"):
        load_checkpoint(path, "me")
    assert load_checkpoint(tmp_path / "none", "me") is None


def test_what_kill_9_left_of_files_goes_with_the_next_run(tmp_path: Path):
    folder = tmp_path / "rounds" / "00"
    killed = (
        "import os, sys; from pathlib import Path; from potential.data.atomic_write import atomically\n"
        "with atomically(Path(sys.argv[1])) as stream: os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", killed, str(folder / "result.json")]).returncode == -9
    (half,) = folder.iterdir()
    ours, theirs = (half.with_stem(f".result.json.{who}.{os.getpid()}") for who in (gethostname(), "another"))
    others = [ours, theirs, folder / f".notes.{2**22 + 1}", folder / "frame.1"]
    for file in others:
        file.write_text("{")
    with folder_lock(tmp_path):
        assert half.exists(), "not every folder that is locked is ours alone"
    with campaign_lock(tmp_path):
        assert sorted(folder.iterdir()) == sorted(others)


def test_which_database_is_damaged_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = tmp_path / "labels.db"
    store.write_bytes(bytes(5000))
    assert run_command(["labels", "stats", str(store)]) == 1
    assert f"is none ({store}). Restore it" in capsys.readouterr().err
    store.unlink()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE runs (x)")
    with pytest.raises(NoLabelStoreError, match="but no label store"):
        LabelStore(store)


@pytest.mark.parametrize("file", ["config.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff" * 100])
def test_a_damaged_potential(file: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = NequIP(ModelConfig(num_layers=1, l_max=0, num_features=2), [1, 8], seed=0, avg_num_neighbors=2.0)
    save_potential(tmp_path, model, {})
    load_potential(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged, or no potential of this version"):
        load_potential(tmp_path)
    assert run_command(["md", str(tmp_path), "no.xyz"]) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"avg_num_neighbors": 4.0}, "it was altered"),
        ({"avg_num_neighbors": 0.0, "digest": None}, "avg_num_neighbors is 0.0"),
        ({"avg_num_neighbors": float("nan"), "digest": None}, "avg_num_neighbors is nan"),
        ({"numbers": [1, 9], "digest": None}, r"knows the elements \[1, 8\]"),
        ({"model": {"num_layers": 10**6}, "digest": None}, "num_layers: Input should be less"),
    ],
)
def test_a_potential_whose_configuration_was_altered(change: dict[str, Any], said: str, tmp_path: Path):
    model = NequIP(ModelConfig(num_layers=1, l_max=0, num_features=2), [1, 8], avg_num_neighbors=2.0)
    save_potential(tmp_path, model, {})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=f"is damaged, or no potential of this version: .*{said}"):
        load_potential(tmp_path)


def test_weights_that_are_not_finite(tmp_path: Path):
    model = NequIP(ModelConfig(num_layers=1, l_max=0, num_features=2), [1, 8], avg_num_neighbors=2.0)
    with torch.no_grad():
        model.embedding[0, 0, 0] = float("nan")
    save_potential(tmp_path, model, {})
    with pytest.raises(ValueError, match="embedding has numbers that are not finite"):
        load_potential(tmp_path)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99", "", "meta", "c" * 5000])
def test_devices_that_are_not_there(name: str):
    with pytest.raises(ValueError, match=r"device|cannot use"):
        check_device(name)
    check_device("cpu")


def _obey_modes() -> None:
    """Of the privileges of root, give up the one to write where the mode forbids it (Linux)."""
    dac_override, drop_from_bounding_set = 1, 24
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0):
        raise OSError("not allowed to give it up")


def test_status_and_report_of_a_campaign_that_may_only_be_read(
    tmp_path: Path, finished_campaign: Path, make_store: Callable[[Path], None]
):
    campaign, home = finished_campaign, tmp_path / "home"
    make_store(campaign / "labels.db")
    home.mkdir()
    for inside in [campaign, *campaign.rglob("*")]:
        inside.chmod(0o555 if inside.is_dir() else 0o444)

    codes, said = exit_codes(
        [[command, str(campaign)] for command in ("run", "status", "report")],
        env={**os.environ, "HOME": str(home)},
        cwd=home,
        preexec_fn=_obey_modes,
    )
    assert codes == [1, 0, 0], said  # a run needs to write
    assert "1 labels" in said
    assert "force MAE" in said
    assert "wrote ethanol-report.html" in said
    assert (home / "ethanol-report.html").stat().st_size > 10_000
    for inside in [campaign, *campaign.rglob("*")]:
        inside.chmod(0o755)


@pytest.fixture
def make_store(campaign_config) -> Callable[[Path], None]:
    """Writes a label store with one label at the campaign's level."""

    def make(path: Path) -> None:
        import numpy as np

        from labeling.store import LabelStore
        from potential.data.dataset import Label
        from potential.data.frame import Frame

        frame = Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.74]])
        label = Label(
            frame_id=frame.id, level_key=campaign_config.level.key, energy=-31.0, forces=np.zeros((2, 3))
        )
        LabelStore(path).add(frame, label)

    return make


def test_a_folder_or_nothing_in_place_of_frames(finished_campaign: Path, capsys: pytest.CaptureFixture[str]):
    frames = finished_campaign / "frames" / "test.extxyz"
    frames.write_bytes(b"")
    assert f"{frames} is empty" in _said_by_report(finished_campaign, capsys)
    frames.unlink()
    frames.mkdir()
    assert f"{frames} is a folder" in _said_by_report(finished_campaign, capsys)


def _said_by_report(campaign: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(["report", str(campaign)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err
