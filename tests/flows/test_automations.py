"""The automations of deployments/automations.yaml fire: real events call a web page of the test."""

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
from tests.support.finished_campaign import build_campaign
from tests.support.lj_campaign import change

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
PATIENCE_S = 240.0
CAMPAIGN = """
import sys
from pathlib import Path

import pandas as pd
from prefect import flow

from exploration.selection import Selection
from flows.engine.events import announce
from flows.record.folder import CampaignFolder
from flows.steps.review import approved_frames
from potential.data.structure_files import read_frames

@flow
def campaign(path: str):
    folder = CampaignFolder.open(Path(path))
    here = folder.round(2)
    frames = tuple(read_frames(here.select / "selected.extxyz"))
    table = pd.read_csv(here.select / "selection.csv", dtype={"frame_id": str})
    table = table.assign(rank=range(1, len(table) + 1), bath_temperature_K=300.0, max_force_disagreement=0.2)
    selection = Selection(frames=frames, table=table)
    announce("round.finished", "ethanol", arm="active", round=2, n_labels=28, force_mae_meV_per_A=7.23)
    for round in range(3):
        announce("quarantine.grew", "ethanol", arm="active", round=round, failures=1)
    assert approved_frames(folder, here, selection, seconds_per_label=60.0) is None
    announce("ended", "ethanol", why="round 2, its last, is done")

campaign(sys.argv[1])
"""


@pytest.fixture
def heard() -> Iterator[tuple[str, "queue.Queue[str]"]]:
    """The address of a web page that takes what is posted to it, and what it took."""
    taken: queue.Queue[str] = queue.Queue()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.put(json.loads(self.rfile.read(int(self.headers["content-length"])))["text"])
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
def test_each_of_them_calls_a_webhook(
    server: dict[str, str], heard: tuple[str, "queue.Queue[str]"], tmp_path: Path
) -> None:
    page, taken = heard
    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}):
        block = Webhook(url=page, allow_private_urls=True).save("news")
    file = tmp_path / "automations.yaml"
    file.write_text((ROOT / "deployments" / "automations.yaml").read_text().replace("@WEBHOOK@", str(block)))
    folder = build_campaign(tmp_path / "ethanol")
    change(folder / "campaign.yaml", review="before_labels")
    create = [str(BIN / "prefect"), "automation", "create", "--from-file", str(file)]
    for command in (create, [sys.executable, "-c", CAMPAIGN, str(folder)]):
        if command is not create:
            time.sleep(5.0)  # the server's triggers read the new automations
        done = subprocess.run(command, env=server, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {taken.get(timeout=PATIENCE_S) for _ in yaml.safe_load(file.read_text())["automations"]} == {
        "ethanol: round 2, 28 labels, 7.2 meV/A",
        "ethanol: labels fail, see alnico quarantine list",
        "ethanol: round 2 wants to label 8 frames, see alnico review",
        "ethanol has ended: round 2, its last, is done",
    }
