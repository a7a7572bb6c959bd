"""The commands that open both dashboards: Prefect for the runs, MLflow for the learning curves."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

from flows.engine.prefect_settings import DASHBOARD
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.tracking.store import (
    MLFLOW_PORT,
    address_problem,
    default_tracking_uri,
    learning_curve_address,
    server_of,
)
from labeling.location import without_passwords

PREFECT_URL = DASHBOARD
START_TIMEOUT_S = 120.0
# What the servers shall refuse: requests by the pages of others, in the browser of who looks at ours.
ONLY_OWN_PAGES = {
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": PREFECT_URL,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY",
    # Nothing is told to anybody.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A web page: what it is, the command that serves it (None: it is served already), its address."""

    what: str
    command: tuple[str, ...] | None
    url: str

    @property
    def shell_line(self) -> str:
        return without_passwords(shlex.join(self.command)) if self.command else "(is running)"


def commands_for(campaign: Path | None = None) -> list[Dashboard]:
    """The dashboards of a campaign (its YAML file or folder), or of those in `./campaigns`."""
    folder = None if campaign is None else CampaignFolder.open(campaign)
    uri = default_tracking_uri(Path("campaigns") if folder is None else folder.path.parent)
    prefect_api = os.environ.get("PREFECT_API_URL")
    prefect = (_program("prefect"), "server", "start")
    mlflow = (_program("mlflow"), "ui", "--backend-store-uri", uri, "--port", str(MLFLOW_PORT))
    # By default MLflow also answers under every private address, and may be shown inside other pages.
    own = ("--allowed-hosts", f"127.0.0.1:{MLFLOW_PORT},localhost:{MLFLOW_PORT}")
    served = uri.startswith(("http://", "https://"))
    server = server_of(uri)
    return [
        Dashboard(
            what="Prefect",
            command=None if prefect_api else prefect,
            url=prefect_api.removesuffix("/api") if prefect_api else PREFECT_URL,
        ),
        Dashboard(
            what="MLflow",
            command=None if served else (*mlflow, *own),
            url=(folder and learning_curve_address(folder, server)) or server,
        ),
    ]


def mlflow_problem(uri: str) -> str | None:
    """Why MLflow's store cannot be shown; None if it can."""
    if uri.startswith(("http://", "https://")):
        return None if _answers(uri) else f"no answer from {without_passwords(uri)}"
    if not uri.startswith("sqlite:///"):
        return None
    if problem := address_problem(uri):
        return problem
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not path.exists():
        return f"nothing was logged, there is no {path}"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            database.execute("select count(*) from experiments").fetchone()
    except sqlite3.Error as error:
        return f"{path} is damaged ({error}); move it away, and the next run logs everything anew"
    return None


def _answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except HTTPError:
        return True  # refuses this address, but is there
    except (OSError, ValueError):
        return False
    return True


def serve(dashboards: Sequence[Dashboard], *, open_browser: bool) -> None:
    """Start what is not running, until Ctrl-C; both end together, without a word.

    Raises:
        CampaignError: if a server ends by itself or does not answer.
    """
    with suppress(KeyboardInterrupt), NamedTemporaryFile("w+", suffix=".log", delete=False) as log:
        print(f"what the servers say is in {log.name}; Ctrl-C ends them", flush=True)
        _serve(dashboards, log, open_browser=open_browser)


def _serve(dashboards: Sequence[Dashboard], log: IO[str], *, open_browser: bool) -> None:
    bin_folder = Path(sys.executable).parent
    with ExitStack() as stack:
        processes = []
        for dashboard in dashboards:
            if dashboard.command is not None:
                process = subprocess.Popen(
                    [bin_folder / dashboard.command[0], *dashboard.command[1:]],
                    env=ONLY_OWN_PAGES | os.environ,
                    stdout=log,
                    stderr=log,
                )
                stack.callback(process.wait)
                stack.callback(process.terminate)
                processes.append((dashboard, process))
        if open_browser:
            for dashboard in dashboards:
                _wait_for(dashboard)
                webbrowser.open(dashboard.url)
        while True:
            for dashboard, process in processes:
                if process.poll() is not None:
                    raise CampaignError(
                        f"{dashboard.shell_line} ended with exit code {process.returncode}:\n{_last_of(log)}"
                    )
            time.sleep(0.5)


def _last_of(log: IO[str]) -> str:
    return "\n".join(Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def _wait_for(dashboard: Dashboard) -> None:
    for _ in range(int(START_TIMEOUT_S)):
        try:
            urlopen(dashboard.url, timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(1.0)
    raise CampaignError(f"{dashboard.what} does not answer at {dashboard.url}")


def _program(name: str) -> str:
    """The program of this environment, by name where the shell finds the same one."""
    ours = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not ours.exists() or (found and Path(found).samefile(ours)):
        return name
    return str(ours.relative_to(Path.cwd()) if ours.is_relative_to(Path.cwd()) else ours)
