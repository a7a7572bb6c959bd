"""What happens around a campaign: full disk, locked store, MLflow away, a dead server, a damaged cache.

Real runs of the tiny Lennard-Jones campaign. In each trial the campaign ends or goes on with a clear line and
no traceback, and it, or a rerun, reaches the very results of an undisturbed one. A campaign that may only be
read is in `test_damage.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.record.folder import CampaignFolder
from labeling.store import LabelStore

psutil = pytest.importorskip("psutil")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

Writer = Callable[..., Path]
LIMIT_S = 900


class Trial:
    """One campaign in a folder of its own, with an environment of its own."""

    def __init__(self, folder: Path, home: Path, write: Writer, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.yaml_file = write(folder)
        self.folder = CampaignFolder.open(self.yaml_file)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        self.environment = {**inherited, "PREFECT_HOME": str(home), "TMPDIR": str(home), **environment}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "alnico", "run", str(self.yaml_file)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, disturb: Callable[[subprocess.Popen[str]], None] = lambda process: None) -> tuple[int, str]:
        """Exit code and all that was said."""
        with self.start() as process:
            try:
                disturb(process)
                said, _ = process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
        assert "Traceback" not in said, said
        return process.returncode, said

    def wait_for(self, moment: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not moment():
            assert process.poll() is None, f"it ended before its moment came:\n{process.communicate()[0]}"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def results(self) -> dict[str, Any]:
        """What is the same in every run: errors, disagreement, selections, labels."""
        rounds = []
        for result in self.folder.results():
            content = json.loads(result.model_dump_json())
            for part in content.values():
                if isinstance(part, dict):
                    part.pop("seconds", None)
                    part.pop("hours", None)
            rounds.append(content)
        labels = {
            (item.frame.id, item.label.energy, item.label.forces.tobytes())
            for item in LabelStore(self.folder.label_store)
        }
        return {"rounds": rounds, "labels": labels}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undisturbed run keeps its kernels."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, home: Path, cache: Path, write_lj_campaign: Writer
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    trial = Trial(folder, home, write_lj_campaign, ALNICO_CACHE=str(cache))
    code, said = trial.run()
    assert code == 0, said
    results = trial.results()
    assert len(results["rounds"]) == 2
    assert len(results["labels"]) > 10
    return results


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB, which cannot hold the campaign's databases."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a file system here; the other limit is tried by RLIMIT_FSIZE")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk(small_disk: Path, home: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]):
    trial = Trial(small_disk, home, write_lj_campaign, MLFLOW_TRACKING_URI=f"sqlite:///{home}/mlflow.db")
    code, said = trial.run()
    assert code == 1, said
    assert "disk" in said.lower() or "space" in said.lower(), said
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    code, said = trial.run()
    assert code == 0, said
    assert trial.results() == undisturbed


def test_files_that_may_not_grow(
    tmp_path: Path, home: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]
):
    """RLIMIT_FSIZE, as a quota of the file system answers."""
    trial = Trial(tmp_path / "campaign", home, write_lj_campaign)
    limited = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (20_000, 20_000))\n"
    program = (
        f"{limited}import sys; from flows.cli.app import run_command; sys.exit(run_command(sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "run", str(trial.yaml_file)],
        env=trial.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    code, said = trial.run()
    assert code == 0, said
    assert trial.results() == undisturbed


def test_a_store_that_another_process_has_locked(
    tmp_path: Path, home: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]
):
    trial = Trial(tmp_path / "campaign", home, write_lj_campaign)

    def lock(process: subprocess.Popen[str]) -> None:
        store = Path(trial.folder.label_store)
        trial.wait_for(lambda: store.exists() and len(LabelStore(store)) > 0, process)
        with sqlite3.connect(store, timeout=60, isolation_level=None) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(8)
            database.execute("ROLLBACK")

    code, said = trial.run(lock)
    assert code == 0, said
    assert trial.results() == undisturbed


def test_mlflow_is_away(tmp_path: Path, home: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]):
    uri = "http://127.0.0.1:9"  # the port of discard, where nobody listens
    trial = Trial(tmp_path / "campaign", home, write_lj_campaign, MLFLOW_TRACKING_URI=uri)
    code, said = trial.run()
    assert code == 0, said
    assert f"MLflow at {uri} cannot be written" in " ".join(said.split())
    assert trial.results() == undisturbed


def test_the_prefect_server_is_killed(
    tmp_path: Path, home: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]
):
    trial = Trial(tmp_path / "campaign", home, write_lj_campaign)

    def kill_the_server(process: subprocess.Popen[str]) -> None:
        store = Path(trial.folder.label_store)
        trial.wait_for(lambda: store.exists() and len(LabelStore(store)) > 0, process)
        children = psutil.Process(process.pid).children(recursive=True)
        servers = [child for child in children if "flows.engine.prefect_server" in " ".join(child.cmdline())]
        assert servers, [child.cmdline() for child in children]
        for server in servers:
            server.send_signal(signal.SIGKILL)

    code, said = trial.run(kill_the_server)
    assert code == 0, said
    assert trial.results() == undisturbed


@pytest.mark.parametrize("kept", [0, 4096])
def test_a_truncated_kernel_cache(
    kept: int, tmp_path: Path, home: Path, cache: Path, write_lj_campaign: Writer, undisturbed: dict[str, Any]
):
    damaged = shutil.copytree(cache, tmp_path / "cache")
    libraries = list(damaged.rglob("*.so"))
    if not libraries:
        pytest.skip("no compiler here")
    for library in libraries:
        library.write_bytes(library.read_bytes()[:kept])
    trial = Trial(tmp_path / "campaign", home, write_lj_campaign, ALNICO_CACHE=str(damaged))
    code, said = trial.run()
    assert code == 0, said
    assert trial.results() == undisturbed
    assert any(library.stat().st_size > kept for library in damaged.rglob("*.so")), "compiled anew"
