"""`alnico doctor`: what it finds, and that a finding says what to do."""

import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flows.cli.app import run_command
from flows.cli.doctor import AMISS, NOTE, OK, Finding, examine

Said = pytest.CaptureFixture[str]


def found(campaigns: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(campaigns)}


@pytest.fixture
def slow_clock() -> Iterator[str]:
    """A server whose clock is an hour late."""

    class Late(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:

            return formatdate(time.time() - 3600, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Late) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_machine_that_runs_these_tests_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run_command(["doctor", str(tmp_path / "campaigns")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "python", "torch", "compiler", "threads", "pyscf", "disk", "use", "prefect", "mlflow",
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_what_is_amiss_is_said_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_clock: str, capsys: Said
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", slow_clock)
    findings = found(tmp_path)
    assert findings["mlflow"].how == OK
    assert findings["clock"].how == findings["threads"].how == AMISS
    assert re.match(r"\+36\d\d s from that of mlflow's server", findings["clock"].said)
    assert "unset it" in findings["threads"].said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run_command(["doctor", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "no answer from http://127.0.0.1:9" in said.out
    assert "unset MLFLOW_TRACKING_URI" in said.out
    assert "something is amiss" in said.err


def test_without_a_compiler_it_is_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert found(tmp_path)["compiler"].how == NOTE
