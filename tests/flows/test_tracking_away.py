"""MLflow is away, damaged, or comes late: the campaign warns once and goes on."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from flows.record.folder import CampaignFolder
from flows.record.results import RESULT_FILE
from flows.tracking.mlflow_metrics import FORCE_MAE
from flows.tracking.store import learning_curve_address
from flows.tracking.tracker import Tracker
from tests.support.mlflow_runs import curve, run_through, runs_of


def test_an_unreachable_server_costs_one_warning(finished_campaign: Path, campaign_config, capsys):
    port = _free_port()
    tracker = Tracker(CampaignFolder.open(finished_campaign), tracking_uri=f"http://127.0.0.1:{port}")
    began = time.perf_counter()
    run_through(tracker, finished_campaign)
    assert time.perf_counter() - began < 20
    said = capsys.readouterr().out
    assert said.count("warning: MLflow") == 1
    assert f"127.0.0.1:{port}" in said
    assert "The campaign goes on" in said


def test_a_damaged_store_costs_one_warning(finished_campaign: Path, campaign_config, uri: str, capsys):
    (finished_campaign.parent / "mlflow.db").write_bytes(b"not a database" * 100)
    run_through(Tracker(CampaignFolder.open(finished_campaign)), finished_campaign)
    said = capsys.readouterr()
    assert said.out.count("warning: MLflow") == 1
    assert "DatabaseError: file is not a database" in said.out
    assert said.err == ""


def test_a_store_that_takes_no_more_costs_one_warning(
    finished_campaign: Path, campaign_config, uri: str, capfd
):
    tracker = Tracker(CampaignFolder.open(finished_campaign))
    tracker.log_start()
    with closing(sqlite3.connect(finished_campaign.parent / "mlflow.db")) as database, database:
        for table in ("runs", "tags", "params", "latest_metrics"):
            refuse = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            database.execute(f"CREATE TRIGGER no_{table} BEFORE UPDATE ON {table} {refuse}")
    try:
        raise ValueError("what stopped the campaign")
    except ValueError:
        tracker.log_stop("FAILED")
    said = capfd.readouterr()
    assert said.out.count("warning: MLflow") == 1
    assert "the disk is full" in said.out
    assert "what stopped the campaign" not in said.out
    assert said.err == ""


@pytest.mark.slow
def test_a_server_that_comes_late_gets_everything(
    finished_campaign: Path, campaign_config, empty_store: Path, tmp_path: Path, capsys
):
    """Nothing answers at first; the next call after the server is up catches up on all rounds."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    campaign = CampaignFolder.open(finished_campaign)
    results = campaign.results()[:2]
    for number in (2, 3):
        shutil.rmtree(finished_campaign / "rounds" / f"{number:02d}")
    (finished_campaign / "rounds" / "01" / RESULT_FILE).unlink()  # round 1 has just finished
    tracker = Tracker(CampaignFolder.open(finished_campaign), tracking_uri=address)
    tracker.log_start()
    tracker.log_round(campaign.round(0), results[0])
    assert learning_curve_address(campaign, address) is None
    with mlflow_server(port, empty_store, tmp_path):
        tracker.log_round(campaign.round(1), results[1])
        tracker.log_end()
        parent = runs_of(address)["campaign"]
        assert [step for step, _ in curve(address, parent, FORCE_MAE)] == [20, 28]
        assert parent.info.status == "FINISHED"
        client = MlflowClient(tracking_uri=address)
        champion = client.get_model_version_by_alias("ethanol", "champion")
        assert champion.run_id == parent.info.run_id
    assert parent.info.run_id in str(learning_curve_address(campaign, address))
    said = capsys.readouterr().out
    assert said.count("cannot be written") == 1
    assert said.count("has caught up") == 1


@contextmanager
def mlflow_server(port: int, empty_store: Path, folder: Path) -> Iterator[None]:
    store = folder / "server.db"
    store.write_bytes(empty_store.read_bytes())
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{store}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(address: str) -> None:
    for _ in range(480):
        try:
            urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"no MLflow server at {address}")
