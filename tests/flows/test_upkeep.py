"""What is kept of a campaign: its logs, its archive, its place on the disk; and what is not kept for ever."""

import gzip
import logging
import os
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.runtime import flow_run

from flows.cli.app import run_command
from flows.engine.log_file import MOST_BYTES, MOST_RUNS, log_file
from flows.engine.prefect_runs import delete_runs
from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.views.disk import disk_line, shown_size, size_of
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.structure_files import read_frames

Said = pytest.CaptureFixture[str]
Writer = Callable[..., Path]


def logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log*"))


def test_what_is_logged_is_in_the_file_of_the_run(tmp_path: Path) -> None:
    with log_file(tmp_path / "logs") as path:
        logging.getLogger("flows.somewhere").info("to postgresql://me:hush@host/labels")
        logging.getLogger("prefect.engine").warning("a task of Prefect's")
        logging.getLogger("labeling").debug("not at this level")
    logging.getLogger("flows.somewhere").info("after it")
    said = path.read_text()
    assert "postgresql://me@host/labels" in said
    assert said.count("a task of Prefect's") == 1
    assert "hush" not in said
    assert "not at this level" not in said
    assert "after it" not in said
    assert "alnico" in said.splitlines()[0]


def test_the_level_is_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALNICO_LOG_LEVEL", "debug")
    with log_file(tmp_path) as path:
        logging.getLogger("labeling").debug("at this level")
    assert "at this level" in path.read_text()
    monkeypatch.setenv("ALNICO_LOG_LEVEL", "loud")
    with pytest.raises(ConfigError, match="'loud' is none of DEBUG, INFO"), log_file(tmp_path):
        pass


def test_an_error_is_the_last_line(tmp_path: Path) -> None:
    with pytest.raises(KeyError), log_file(tmp_path) as path:
        raise KeyError("lost")
    assert path.read_text().splitlines()[-1].endswith("ended by KeyError: 'lost'")


def test_logs_are_bounded(tmp_path: Path) -> None:
    for number in range(MOST_RUNS + 5):
        (tmp_path / f"20260101-{number:06d}-1.log").write_text("old")
    with log_file(tmp_path) as path:
        for number in range(250):
            logging.getLogger("flows").info("%d %s", number, "x" * 10_000)
    assert len(list(tmp_path.glob("*.log"))) == MOST_RUNS
    assert size_of(tmp_path) <= 2 * MOST_BYTES + 3 * MOST_RUNS
    assert "249 x" in path.read_text()  # the end is what counts


@pytest.fixture
def labelled(tmp_path: Path, write_lj_campaign: Writer) -> CampaignFolder:
    """A campaign with a configuration, a few labels, and what must not leave the machine."""
    folder = CampaignFolder.open(write_lj_campaign(tmp_path))
    folder.write_config()
    store, level = LabelStore(folder.label_store), folder.config.level
    assert isinstance(level, LennardJonesLevel)
    for frame in folder.config.structure.frames():
        store.record(frame, compute(frame, level))
    (folder.path / "rounds" / "00" / "train").mkdir(parents=True)
    (folder.path / "rounds" / "00" / "train" / "checkpoint.safetensors").write_bytes(b"half")
    (folder.path / "rounds" / "00" / "result.txt").write_text("whole")
    (folder.path / ".pgpass").write_text("hush")
    return folder


def test_an_archive_is_a_campaign_that_anybody_opens(
    labelled: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["archive", "lj.yaml"]) == 0
    assert "wrote lj.tar.gz" in capsys.readouterr().out
    assert run_command(["archive", "lj.tar.gz", "--check"]) == 0
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(["tar", "xzf", tmp_path / "lj.tar.gz"], cwd=tmp_path / "elsewhere", check=True)
    opened = tmp_path / "elsewhere" / "lj"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=opened, check=True)
    names = {path.relative_to(opened).as_posix() for path in opened.rglob("*") if path.is_file()}
    assert names >= {"campaign.yaml", "labels.db", "labels.extxyz", "README.txt", "rounds/00/result.txt"}
    assert names >= {"inputs/1-argon7.xyz"}
    assert not [name for name in names if "checkpoint" in name or Path(name).name.startswith(".")]
    assert "campaign.lock" not in names
    theirs, ours = LabelStore(opened / "labels.db"), LabelStore(labelled.label_store)
    assert [i.label.energy for i in theirs] == [i.label.energy for i in ours]
    assert [f.id for f in read_frames(opened / "labels.extxyz")] == [i.frame.id for i in ours]
    assert run_command(["status", str(opened)]) == 0
    assert "1 labels" in capsys.readouterr().out
    with tarfile.open("lj.tar.gz") as tar:
        assert {(m.uid, m.uname) for m in tar} == {(0, "")}


def test_an_archive_overwrites_nothing(
    labelled: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.tar.gz").write_text("mine")
    assert run_command(["archive", "lj.yaml"]) == 2
    assert "lj.tar.gz is there already" in capsys.readouterr().err
    assert (tmp_path / "lj.tar.gz").read_text() == "mine"
    assert run_command(["archive", "lj.yaml", "--output", str(labelled.path / "a.tar.gz")]) == 2
    assert "in the campaign's own folder" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*.tar.gz.*"))


def test_a_campaign_at_work_or_not_begun_is_not_archived(
    tmp_path: Path, write_lj_campaign: Writer, capsys: Said
) -> None:
    path = write_lj_campaign(tmp_path)
    assert run_command(["archive", str(path), "--output", str(tmp_path / "a.tar.gz")]) == 1
    assert "there is nothing to archive" in capsys.readouterr().err
    assert not (tmp_path / "a.tar.gz").exists()


@pytest.mark.parametrize("how", ["cut", "altered"])
def test_a_damaged_archive_is_told(
    how: str, labelled: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["archive", "lj.yaml"]) == 0
    if how == "cut":
        Path("lj.tar.gz").write_bytes(Path("lj.tar.gz").read_bytes()[:-200])
    else:
        subprocess.run(["tar", "xzf", "lj.tar.gz"], check=True)
        Path("lj/rounds/00/result.txt").write_text("better")
        subprocess.run(["tar", "czf", "lj.tar.gz", "lj"], check=True)
    assert run_command(["archive", "lj.tar.gz", "--check"]) == 1
    said = capsys.readouterr().err
    assert "lj.tar.gz" in said
    assert ("result.txt" in said) == (how == "altered")


def test_whatever_else_is_in_an_archive_is_told(
    labelled: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["archive", "lj.yaml"]) == 0
    packed = gzip.decompress(Path("lj.tar.gz").read_bytes())
    link, twice, sums = (tarfile.TarInfo(f"lj/{n}") for n in ("link", "campaign.yaml", "rounds/SHA256SUMS"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside, absolute = tarfile.TarInfo("lj/../outside"), tarfile.TarInfo("/absolute")
    folder = tarfile.TarInfo("../folder")
    folder.type = tarfile.DIRTYPE
    for member in (link, twice, sums, outside, absolute, folder):
        Path("more.tar").write_bytes(packed)
        with tarfile.open("more.tar", "a") as tar:
            tar.addfile(member)
        Path("more.tar.gz").write_bytes(gzip.compress(Path("more.tar").read_bytes(), 1))
        assert run_command(["archive", "more.tar.gz", "--check"]) == 1, member.name
        assert f"was altered: {member.name}" in capsys.readouterr().err
    subprocess.run(["tar", "xzf", "lj.tar.gz"], check=True)
    subprocess.run(["tar", "czf", "again.tar.gz", "lj"], check=True)
    assert run_command(["archive", "again.tar.gz", "--check"]) == 0


def test_each_damaged_byte_of_an_archive_is_told(
    labelled: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Of the compressed stream, by flipped bits at many places: all but gzip's header, which says nothing."""
    monkeypatch.chdir(tmp_path)
    assert run_command(["archive", "lj.yaml"]) == 0
    whole = Path("lj.tar.gz").read_bytes()
    for at in [*range(20, len(whole), len(whole) // 25), len(whole) - 5]:
        Path("bad.tar.gz").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        assert run_command(["archive", "bad.tar.gz", "--check"]) == 1, at
        assert "bad.tar.gz is" in capsys.readouterr().err


def test_the_disk_that_a_campaign_takes(labelled: CampaignFolder, capsys: Said) -> None:
    (labelled.path / "rounds" / "00" / "ledger.csv").write_bytes(bytes(3_000_000))
    assert disk_line(labelled).startswith("3.")
    assert "rounds 3.0 MB, labels.db " in disk_line(labelled)
    assert [shown_size(n) for n in (0, 999, 1000, 12_345, 3e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12 kB",
        "3.0 GB",
    ]
    assert run_command(["status", str(labelled.path)]) == 0
    assert "disk       3." in capsys.readouterr().out


@flow(name="pruned", persist_result=False)
def pruned() -> str:
    create_markdown_artifact("# kept for a while", key="of-a-pruned-run")
    return str(flow_run.id)


def ended_days_ago(days: float, *, tagged: bool = True) -> str:
    """A run of the flow, made older in the server's database: its API sets times by itself."""
    with tags(*(["alnico"] if tagged else [])):
        run_id = pruned()
    then = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}"
    with closing(sqlite3.connect(Path(os.environ["PREFECT_HOME"]) / "prefect.db")) as database, database:
        changed = database.execute("update flow_run set end_time = ? where id = ?", (then, run_id))
        assert changed.rowcount == 1
    return run_id


def test_old_runs_of_campaigns_go_and_others_stay(prefect_url: str, capsys: Said) -> None:
    old, new, others = ended_days_ago(40), ended_days_ago(2), ended_days_ago(40, tagged=False)
    assert run_command(["prune", "--prefect-days", "30"]) == 0
    assert "1 run that ended more than 30 days ago deleted" in capsys.readouterr().out
    with get_client(sync_client=True) as client:
        some = FlowRunFilter.model_validate({"id": {"any_": [old, new, others]}})
        assert {str(run.id) for run in client.read_flow_runs(flow_run_filter=some)} == {new, others}
        left = {str(a.flow_run_id) for a in client.read_artifacts() if a.key == "of-a-pruned-run"}
    assert left == {new, others}
    assert delete_runs(timedelta(days=30)) == 0
    assert run_command(["prune", "--prefect-days", "0.5"]) == 2
    assert "must be 1 or more" in capsys.readouterr().err
