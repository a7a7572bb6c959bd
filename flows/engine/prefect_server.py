"""The Prefect API of a user who has set up none: a server of our own, for as long as a campaign runs.

Prefect would start one too, but in the process group of the terminal: Ctrl-C would end the server
before the campaign, which then waits minutes for it; after `kill -9` it would stay behind for ever.
Ours is out of the terminal's reach, ends with its parent however that ends, and starts while the
campaign's heavy imports run. It keeps its runs where `prefect server start` finds them.

The campaign holds the socket, the server only answers on it. So a server that dies is replaced without
anybody noticing but for a pause; if the next one dies too, the campaign ends, instead of waiting.

Nobody else gets in: the credential is random, new each time, and known to both processes alone (it is
in their settings, not on a command line); answers are refused to web pages of any origin, and under
any host name but this machine's (which keeps out pages that rebind theirs).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
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

from flows.engine.prefect_home import mend_database, require_writable_home
from flows.engine.prefect_settings import DASHBOARD
from flows.errors import CampaignError
from labeling.location import without_passwords

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
LAST_WORD_S = 20.0
"""After which a campaign without a server is ended, where Prefect does not let it end by itself."""
ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*", re.MULTILINE)
"""The last line of a traceback."""
OWN_HOSTS = ["127.0.0.1", "localhost"]


@contextmanager
def embedded_api() -> Iterator[Callable[[], None]]:
    """Have a Prefect API of our own in this context.

    Gives a function that waits until it answers; call it before the first flow.

    Raises:
        CampaignError: if it cannot keep its runs; (from that function) if the server does not come up;
            (from the context) if it died twice.
    """
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_UI_URL,
        temporary_settings,
    )

    require_writable_home()
    credential = f"alnico:{secrets.token_urlsafe(32)}"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listening,
        tempfile.TemporaryFile() as log,
        Server(listening, credential, log) as server,
    ):
        own = {
            PREFECT_API_URL: server.url,
            PREFECT_API_AUTH_STRING: credential,
            PREFECT_UI_URL: DASHBOARD,
            # Who asks while the server is replaced waits for an answer; more retries only delay the end.
            PREFECT_CLIENT_MAX_RETRIES: 2,
        }
        with temporary_settings(updates=own):
            try:
                yield server.wait
            except BaseException as error:
                if server.given_up:  # whatever it came out as: Prefect wraps it, or it was our SIGINT
                    raise CampaignError(server.last_words) from error
                raise
            finally:
                if not server.given_up:
                    _send_what_is_left()


class Server:
    """The server's process, started again once if it dies; a context manager.

    Args:
        listening: the socket on which it answers, of this process.
        credential: what its clients must know, `user:password`.
        log: where it writes what goes wrong.
    """

    def __init__(self, listening: socket.socket, credential: str, log: IO[bytes]) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        self.given_up = False
        self.process: subprocess.Popen[bytes]
        self._listening, self._credential, self._log = listening, credential, log
        self._ending = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    @property
    def last_words(self) -> str:
        """Why the campaign ends."""
        return (
            f"the embedded Prefect server ended twice, the last time {self._how_it_ended()}{self._said()}\n"
            "The same command goes on from here. For a server of your own: `prefect server start`, and "
            "PREFECT_API_URL=http://127.0.0.1:4200/api."
        )

    def wait(self) -> None:
        """Until it answers.

        Raises:
            CampaignError: if it does not.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urlopen(f"{self.url}/health", timeout=5).close()
                self._watching.start()
                return
            except (URLError, OSError):
                time.sleep(0.1)
        how = "did not answer in time" if self.process.poll() is None else f"ended {self._how_it_ended()}"
        raise CampaignError(f"the embedded Prefect server {how}{self._said()}\n{mend_database()}")

    def __enter__(self) -> Server:
        self.process = self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), str(self._listening.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            process_group=0,
            pass_fds=[self._listening.fileno()],
            env=os.environ
            | {
                "PREFECT_SERVER_API_AUTH_STRING": self._credential,
                # the server's own services are its clients, too
                "PREFECT_API_AUTH_STRING": self._credential,
                "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.url.removesuffix("/api"),
            },
        )

    def _watch(self) -> None:
        for replaced in (False, True):
            while self.process.poll() is None:
                if self._ending.wait(0.5):
                    return
            if self._ending.is_set():
                return
            if not replaced:
                self.process = self._start()
        self.given_up = True
        self._listening.close()  # so that who asks is refused, and does not wait
        os.kill(os.getpid(), signal.SIGINT)  # wakes the main thread, wherever it waits
        if not self._ending.wait(LAST_WORD_S):
            print(self.last_words, file=sys.stderr, flush=True)
            os._exit(1)

    def _how_it_ended(self) -> str:
        code = self.process.returncode
        return f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"

    def _said(self) -> str:
        """The error that it ended with, in a line, and where the rest is."""
        self._log.seek(0)
        said = without_passwords(self._log.read().decode(errors="replace"))
        errors = ERROR.findall(said)
        if not errors:
            return "."
        with tempfile.NamedTemporaryFile(prefix="prefect-server-", suffix=".log", delete=False) as kept:
            kept.write(said.encode())
        return f": {errors[-1][:300]} (all that it said: {kept.name})"


def _send_what_is_left() -> None:
    """Logs and events are sent in the background; without this the last ones meet a closed port."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=STOP_TIMEOUT_S)


def main(parent: int, listening: int) -> None:
    """Serve on an inherited socket until the parent process ends."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = TrustedHostMiddleware(create_app(ephemeral=True, final=True), allowed_hosts=OWN_HOSTS)
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    with socket.socket(fileno=listening) as inherited:
        uvicorn.Server(config).run(sockets=[inherited])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
