"""The Prefect API of a user who has set up none: a server of our own, for as long as a campaign runs.

Prefect would start one too, but in the process group of the terminal: Ctrl-C would end the server
before the campaign, which then waits minutes for it; after `kill -9` it would stay behind for ever.
Ours is out of the terminal's reach, ends with its parent however that ends, and starts while the
campaign's heavy imports run. It keeps its runs where `prefect server start` finds them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from flows.errors import CampaignError

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0


@contextmanager
def prefect_api() -> Iterator[Callable[[], None]]:
    """Have a Prefect API in this context; the user's own where one is set (PREFECT_API_URL, profile).

    Gives a function that waits until the API answers; call it before the first flow.

    Raises:
        CampaignError: (from that function) if our server does not come up.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if get_current_settings().api.url:
        yield lambda: None
        return
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,
        )
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            url = f"http://127.0.0.1:{port}/api"
            with temporary_settings(updates={PREFECT_API_URL: url}):
                try:
                    yield lambda: _wait(url, process, log)
                finally:
                    _send_what_is_left()
        finally:
            _stop(process)


def _wait(url: str, process: subprocess.Popen[str], log: IO[str]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urlopen(f"{url}/health", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    log.seek(0)
    last = "\n".join(log.read().splitlines()[-15:])
    how = "did not answer in time" if process.poll() is None else f"ended with code {process.returncode}"
    raise CampaignError(
        f"the embedded Prefect server {how}.\n{last}\n"
        "Start one yourself (`prefect server start`) and set PREFECT_API_URL=http://127.0.0.1:4200/api."
    )


def _send_what_is_left() -> None:
    """Logs and events are sent in the background; without this the last ones meet a closed port."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=STOP_TIMEOUT_S)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(parent: int) -> None:
    """Serve until the parent process ends; prints the port first."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        import uvicorn
        from prefect.server.api.server import create_app

        app = create_app(ephemeral=True, final=True)
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
