"""Prefect's server, workers and MLflow as processes on loopback, in a folder of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

PATIENCE_S = 900.0


class Installation:
    """Programs that see the settings of this installation and no others.

    Args:
        home: for settings, logs and databases; it is made.
        folder: in which the programs start; it is made.
        settings: environment variables beyond those of every installation.
    """

    def __init__(self, home: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.home, self.folder = free_port(), home, folder
        self.url = f"http://127.0.0.1:{self.port}/api"
        others = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        self.environment = {
            **others,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # as deployments/README.md advises, but impatient
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "30",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            **(settings or {}),
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """`python -m module arguments`, in a process group of its own; its output is a log in `home`."""
        number = len(self._started)
        with (self.home / f"{number}-{module}-{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def call(self, module: str, *arguments: str) -> str:
        """What `python -m module arguments` says; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_server(self) -> None:
        self.start("prefect", "server", "start", "--port", str(self.port))
        wait_for("the server", lambda: answers(f"{self.url}/health"))

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start("prefect", "worker", "start", "--pool", "workstation")

    def every(self, deployment: str, seconds: int) -> None:
        """Give a deployment one more schedule."""
        schedule = ["--interval", str(seconds), "--replace", "--accept-yes"]
        self.call("prefect", "deployment", "schedule", "create", deployment, *schedule)

    def run_to_its_end(self, deployment: str) -> str:
        """Start a worker, let it run a deployment once, and give back what that said."""
        self.call("prefect", "deployment", "run", deployment)
        self.start_worker()
        wait_for("the run's end", lambda: any(run.state and run.state.is_final() for run in self.runs()))
        (run,) = self.runs()
        return str(run.state.message)

    def all_runs(self) -> list[FlowRun]:
        settings = {
            PREFECT_API_URL: self.url,
            PREFECT_API_AUTH_STRING: self.environment.get("PREFECT_API_AUTH_STRING"),
        }
        with temporary_settings(settings), get_client(sync_client=True) as client:
            found = client.read_flow_runs()
        return sorted(found, key=lambda run: str(run.expected_start_time))

    def runs(self) -> list[FlowRun]:
        """Those that have begun or ended, in order of their times."""
        return [run for run in self.all_runs() if run.state is not None and not run.state.is_scheduled()]

    def end(self) -> None:
        for process in reversed(self._started):  # the worker before the server
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            kill(process)


@contextmanager
def installation(
    home: Path, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Installation]:
    """One whose server answers; at the end all that it started is gone."""
    made = Installation(home, folder, settings)
    try:
        made.start_server()
        yield made
    finally:
        made.end()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether somebody is there, be it to ask for a password."""
    try:
        urlopen(url, timeout=5).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"{what} has not come within {PATIENCE_S:.0f} s"
        time.sleep(0.2)
