"""A schedule for real: server, worker and deployment as processes, on SQLite in a folder of their own.

A run is killed, the next goes on with the campaign, another finishes it, and then there is nothing to do.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.record.folder import CampaignFolder
from flows.record.stages import is_started
from labeling.store import LabelStore

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
EVERY_S, PATIENCE_S = 15, 900.0


class Prefect:
    """A Prefect installation in a folder: programs see its settings and no others."""

    def __init__(self, home: Path, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url, self.home, self.folder = f"http://127.0.0.1:{self.port}/api", home, folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "3",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        with (self.home / f"{command[1]}.log").open("wb") as log:
            self.started.append(
                subprocess.Popen(
                    [str(BIN / command[0]), *command[1:]],
                    env=self.environment,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def call(self, *command: str) -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def runs(self) -> list[FlowRun]:
        """Those that have begun or ended, in order of their times."""
        with temporary_settings({PREFECT_API_URL: self.url}), get_client(sync_client=True) as client:
            found = client.read_flow_runs()
        begun = [run for run in found if run.state is not None and not run.state.is_scheduled()]
        return sorted(begun, key=lambda run: str(run.expected_start_time))

    def end(self) -> None:
        for process in reversed(self.started):  # the worker before the server
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[Prefect]:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "mine").mkdir()
    installation = Prefect(tmp_path / "prefect", tmp_path / "mine")
    try:
        installation.start("prefect", "server", "start", "--port", str(installation.port))
        wait_for("the server", lambda: answers(f"{installation.url}/health"))
        yield installation
    finally:
        installation.end()


def answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"{what} has not come within {PATIENCE_S:.0f} s"
        time.sleep(0.1)


@pytest.mark.timeout(1800)
def test_a_schedule_takes_a_campaign_to_its_end(
    prefect: Prefect, write_lj_campaign: Callable[..., Path]
) -> None:
    path = write_lj_campaign(prefect.folder, training={"max_epochs": 300, "checkpoint_every_epochs": 5})
    folder = CampaignFolder.open(path)
    said = prefect.call("alnico", "deploy", "lj.yaml", "--cron", "0 2 * * *")
    assert "prefect worker start --pool workstation" in said
    every = ["--interval", str(EVERY_S), "--replace", "--accept-yes"]
    prefect.call("prefect", "deployment", "schedule", "create", "campaign-step/lj", *every)
    prefect.start("prefect", "worker", "start", "--pool", "workstation")

    wait_for("the first training", lambda: is_started(folder.round(0).train))
    labelled = {item.frame.id: item.label for item in LabelStore(folder.label_store)}
    holder = json.loads((folder.path / ".campaign.holder.json").read_text())
    os.kill(holder["pid"], signal.SIGKILL)

    wait_for("the end", lambda: any(run.state_name == "Nothing to do" for run in prefect.runs()))
    runs = prefect.runs()
    at_work = [run for run in runs if run.state_name not in ("Cancelled", "Nothing to do")]
    assert [run.state_name for run in at_work][:3] == ["Crashed", "Completed", "Completed"]
    messages = [str(run.state.message) for run in at_work[1:3] if run.state is not None]
    assert messages[0].startswith("1 of 2 rounds are done. The next run goes on.")
    assert messages[1].startswith("2 of 2 rounds are done. It has ended.")
    for one, other in pairwise(at_work[:3]):  # never two at once
        assert one.end_time is not None
        assert other.start_time is not None
        assert one.end_time <= other.start_time
    assert folder.report.exists()
    now = {item.frame.id: item.label for item in LabelStore(folder.label_store)}
    assert labelled
    assert {id: now[id].provenance for id in labelled} == {id: x.provenance for id, x in labelled.items()}
