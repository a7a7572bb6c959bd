"""An automation of deployments/automations.yaml fires: an event of ours calls a web page of this test."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from prefect.blocks.webhook import Webhook
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.documents import ROOT

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
PATIENCE_S = 240.0
ANNOUNCE = """
from prefect import flow
from flows.engine.events import announce

@flow
def campaign():
    announce("round.finished", "argon", arm="active", round=2, n_labels=28, force_mae_meV_per_A=7.23)
    announce("ended", "argon", why="round 2, its last, is done")

campaign()
"""


@pytest.fixture
def heard() -> Iterator[tuple[str, "queue.Queue[object]"]]:
    """The address of a web page that takes what is posted to it, and what it took."""
    taken: queue.Queue[object] = queue.Queue()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of programs that use a Prefect server of this test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [str(BIN / "prefect"), "server", "start", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + PATIENCE_S
        while not answers(f"{environment['PREFECT_API_URL']}/health"):
            assert time.monotonic() < end, (tmp_path / "server.log").read_text()
            time.sleep(0.5)
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(900)
def test_a_finished_round_calls_a_webhook(
    server: dict[str, str], heard: tuple[str, "queue.Queue[object]"], tmp_path: Path
) -> None:
    page, taken = heard
    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}):
        block = Webhook(url=page, allow_private_urls=True).save("news")
    file = tmp_path / "automations.yaml"
    file.write_text((ROOT / "deployments" / "automations.yaml").read_text().replace("@WEBHOOK@", str(block)))
    assert len(yaml.safe_load(file.read_text())["automations"]) == 3
    create = [str(BIN / "prefect"), "automation", "create", "--from-file", str(file)]
    for command in (create, [sys.executable, "-c", ANNOUNCE]):
        if command is not create:
            time.sleep(5.0)  # the server's triggers read the new automations
        done = subprocess.run(command, env=server, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    said = {json.dumps(taken.get(timeout=PATIENCE_S)) for _ in range(2)}
    assert said == {
        json.dumps({"text": "argon: round 2, 28 labels, 7.2 meV/A"}),
        json.dumps({"text": "argon has ended: round 2, its last, is done"}),
    }
