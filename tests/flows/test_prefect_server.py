"""The embedded Prefect server: who is let in, and what becomes of a campaign whose server dies."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from flows.cli.app import run_command

FLOW = """
import os, signal, sys, threading, time
from pathlib import Path
from flows.engine.prefect_settings import use_embedded_prefect
use_embedded_prefect()
from flows.engine.prefect_server import Server, embedded_api
from flows.errors import CampaignError

started = []
start = Server._start
def noted(self):
    started.append(start(self))
    return started[-1]
Server._start = noted

with_kills = int(sys.argv[1])

def kill(number):
    while len(started) <= number:
        time.sleep(0.1)
    started[number].send_signal(signal.SIGKILL)

def main():
    with embedded_api() as wait:
        wait()
        from prefect import flow, task
        from prefect.client.orchestration import get_client

        @task
        def step(number):
            if number == 1:
                for kills in range(with_kills):
                    kill(kills)
            time.sleep(0.5)
            return number

        @flow(name="trial")
        def trial():
            return [step.submit(number).result() for number in range(3)]

        assert trial() == [0, 1, 2]
        with get_client(sync_client=True) as client:
            assert [run.state.name for run in client.read_flow_runs()] == ["Completed"]
    print("done, servers:", len(started))

try:
    main()
except CampaignError as error:
    print(error)
    sys.exit(1)
"""


def run_trial(home: Path, kills: int) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-c", FLOW, str(kills)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.slow
def test_a_server_that_dies_is_replaced_and_a_second_death_ends_the_campaign(tmp_path: Path):
    once = run_trial(tmp_path, 1)
    assert once.returncode == 0, once.stdout + once.stderr
    assert "done, servers: 2" in once.stdout
    began = time.monotonic()
    twice = run_trial(tmp_path, 2)
    assert twice.returncode == 1, twice.stdout + twice.stderr
    said = twice.stdout + twice.stderr
    assert "the embedded Prefect server ended twice, the last time by signal 9" in said
    assert "The same command goes on from here" in said
    assert time.monotonic() - began < 120


def answer(url: str, credential: str | None = None, **headers: str) -> tuple[int, dict[str, str]]:
    request = Request(f"{url}/flow_runs/filter", b"{}", {"Content-Type": "application/json", **headers})
    if credential is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(credential.encode()).decode())
    try:
        with urlopen(request, timeout=30) as response:
            json.load(response)
            return response.status, dict(response.headers)
    except HTTPError as error:
        return error.code, dict(error.headers)


def test_nobody_but_the_campaign_is_let_in(prefect_url: str):
    from prefect.settings import PREFECT_API_AUTH_STRING

    credential = PREFECT_API_AUTH_STRING.value()
    assert len(credential) > 40
    assert answer(prefect_url)[0] == 401
    assert answer(prefect_url, "alnico:guess")[0] == 401
    status, headers = answer(prefect_url, credential, Origin="https://evil.example")
    assert status == 200
    assert "access-control-allow-origin" not in {name.lower() for name in headers}
    assert answer(prefect_url, credential, Host="evil.example")[0] == 400
    if Path("/proc").is_dir():
        lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
        secret = credential.partition(":")[2].encode()
        assert not any(secret in line for line in lines)
        assert any(b"flows.engine.prefect_server" in line for line in lines)


def test_a_server_of_the_user_that_does_not_answer(
    tmp_path: Path, write_lj_campaign, capsys: pytest.CaptureFixture[str]
):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    path = write_lj_campaign(tmp_path)
    began = time.monotonic()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert run_command(["run", str(path)]) == 1
    err = capsys.readouterr().err
    assert "no Prefect server answers at http://127.0.0.1:1/api" in err
    assert "unset PREFECT_API_URL" in err
    assert err.count("\n") <= 3
    assert time.monotonic() - began < 30


def test_a_server_that_does_not_take_our_credential(
    prefect_url: str, tmp_path: Path, write_lj_campaign, capsys: pytest.CaptureFixture[str]
):
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    path = write_lj_campaign(tmp_path)
    with temporary_settings({PREFECT_API_AUTH_STRING: "me:wrong"}):
        assert run_command(["run", str(path)]) == 1
    assert "Set PREFECT_API_AUTH_STRING=user:password" in capsys.readouterr().err


def run_in_home(folder: Path, write: Callable[..., Path], **environment: str) -> str:
    """What `alnico run` says that must fail."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "alnico", "run", str(write(folder))],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert ended.stdout.count("\n") == 1, ended  # what starts
    assert ended.stderr.count("\n") <= 3, ended.stderr
    return ended.stderr


def test_a_home_that_cannot_be_written(tmp_path: Path, write_lj_campaign: Callable[..., Path]):
    home = tmp_path / "home"
    home.touch()  # a file: root may write wherever a mode forbids it
    said = run_in_home(tmp_path, write_lj_campaign, HOME=str(home))
    assert f"Prefect keeps its runs in {home}/.prefect, which cannot be written" in said
    assert "export PREFECT_HOME=" in said


@pytest.mark.slow
def test_a_database_of_prefect_that_is_none(tmp_path: Path, write_lj_campaign: Callable[..., Path]):
    (tmp_path / "prefect.db").write_bytes(b"no database" * 1000)
    said = run_in_home(tmp_path, write_lj_campaign, PREFECT_HOME=str(tmp_path))
    assert "the embedded Prefect server ended with code 3: " in said
    assert "file is not a database" in said
    assert f"Its database is {tmp_path}/prefect.db. Move it away" in said


@pytest.mark.slow
def test_a_database_server_of_prefect_that_is_away(tmp_path: Path, write_lj_campaign: Callable[..., Path]):
    away = "postgresql+asyncpg://me:secret@127.0.0.1:9/prefect"
    said = run_in_home(tmp_path, write_lj_campaign, PREFECT_SERVER_DATABASE_CONNECTION_URL=away)
    assert "postgresql+asyncpg://me@127.0.0.1:9/prefect" in said
    assert "secret" not in said
