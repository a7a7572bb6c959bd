"""`alnico ui --serve`: both servers end with it, without a word, and tell nobody anything."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.cli.dashboards import Dashboard, serve
from flows.errors import CampaignError

PYTHON = Path(sys.executable).name


def dashboard(code: str) -> Dashboard:
    return Dashboard(what="a server", command=(PYTHON, "-c", code), url="http://127.0.0.1:9")


def test_ctrl_c_ends_it_silently_and_no_telemetry_is_sent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = tmp_path / "seen"
    code = f"""
import os, pathlib, time
print("noise", flush=True)
told = os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]
pathlib.Path({str(seen)!r}).write_text(f"{{os.getpid()}} {{told}}")
time.sleep(60)
"""

    def interrupt() -> None:
        while not (seen.exists() and seen.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    serve([dashboard(code)], open_browser=False)
    out, err = capfd.readouterr()
    assert out.startswith("what the servers say is in ")
    assert "noise" not in out + err
    pid, told = seen.read_text().split(maxsplit=1)
    assert told == "('true', '1')"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_server_that_dies_is_told_with_its_last_words() -> None:
    with pytest.raises(CampaignError, match=r"(?s)exit code 3:\nthe port is taken"):
        serve([dashboard("print('the port is taken'); raise SystemExit(3)")], open_browser=False)
