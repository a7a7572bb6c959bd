"""Trainings and explorations as jobs of an engine: they say how far they are, are started again, and stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from flows.engines import DaskScheduler, LocalCluster, Threads
from flows.errors import CampaignError
from flows.jobs.job import COUNT, TICKET, Done, NoTicketError, compute
from flows.record.folder import CampaignFolder
from flows.record.rounds import RoundFolder

psutil = pytest.importorskip("psutil")


@dataclass(frozen=True)
class Counting:
    """Counts to `to`, a step each 20 ms, then writes what it counted; dies at some of its starts."""

    to: int
    deaths: int = 0

    def __call__(self, into: Path, done: Done) -> None:
        starts = into / "starts"
        starts.write_text(starts.read_text() + "." if starts.exists() else ".")
        if len(starts.read_text()) <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        for count in range(self.to):
            done(count)
            time.sleep(0.02)
        (into / "counted").write_text(str(self.to))


@pytest.fixture(scope="module")
def dask_engine() -> Iterator[DaskScheduler]:
    """A scheduler whose worker is a thread of this process."""
    from distributed import LocalCluster as DaskCluster

    threads = torch.get_num_threads()
    with DaskCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield DaskScheduler(dask=cluster.scheduler_address, jobs=("training",))
    torch.set_num_threads(threads)


def test_a_job_fills_the_folder_and_says_how_far_it_is(dask_engine: DaskScheduler, tmp_path: Path) -> None:
    said: list[int] = []
    compute(Counting(150), tmp_path, said.append, engine=dask_engine, kind="training", campaign=tmp_path)
    assert (tmp_path / "counted").read_text() == "150"
    assert said == sorted(said)
    assert any(0 < count < 150 for count in said)
    assert not (tmp_path / TICKET).exists()
    assert not (tmp_path / COUNT).exists()


def test_what_an_engine_does_not_take_is_computed_here(dask_engine: DaskScheduler, tmp_path: Path) -> None:
    for engine in (Threads(), dask_engine):
        said: list[int] = []
        compute(Counting(3), tmp_path, said.append, engine=engine, kind="exploration", campaign=tmp_path)
        assert said == [0, 1, 2]  # each step, and no count in between


def test_an_interrupt_stops_the_job_on_the_node(dask_engine: DaskScheduler, tmp_path: Path) -> None:
    def interrupted(count: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        compute(
            Counting(100_000), tmp_path, interrupted, engine=dask_engine, kind="training", campaign=tmp_path
        )
    assert time.monotonic() - began < 10
    compute(Counting(1), tmp_path, print, engine=dask_engine, kind="training", campaign=tmp_path)
    assert (tmp_path / "counted").read_text() == "1"  # its only thread was free again


@dataclass(frozen=True)
class Overtaken:
    """A job whose flow has gone, while another flow has asked for the same."""

    def __call__(self, into: Path, done: Done) -> None:
        (into / TICKET).write_text("another's")
        done(1)
        (into / "disturbed").touch()


def test_a_job_whose_ticket_is_anothers_writes_no_more(dask_engine: DaskScheduler, tmp_path: Path) -> None:
    with pytest.raises(NoTicketError):
        compute(Overtaken(), tmp_path, print, engine=dask_engine, kind="training", campaign=tmp_path)
    assert not (tmp_path / "disturbed").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)  # each start imports torch in a new process
def test_a_job_that_dies_is_started_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalCluster()
    compute(Counting(3, deaths=2), tmp_path, print, engine=engine, kind="training", campaign=tmp_path)
    assert (tmp_path / "starts").read_text() == "..."
    assert (tmp_path / "counted").exists()
    monkeypatch.setattr("flows.jobs.job.ATTEMPTS", 1)
    with pytest.raises(CampaignError, match="died 1 time"):
        compute(Counting(3, deaths=9), tmp_path, print, engine=engine, kind="training", campaign=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_campaign_on_nodes_of_which_one_dies_learns_the_same(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], prefect_url: str
) -> None:
    """The worker of the first training is killed after a checkpoint; the campaign goes on by itself."""
    changes = {"rounds": 1, "survival": {}}
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    plain = write_lj_campaign(here, **changes)
    nodes = write_lj_campaign(there, labeling={"engine": "local_cluster", "memory_GB": 0.5}, **changes)
    environment = {**os.environ, "PREFECT_API_URL": prefect_url}
    command = [sys.executable, "-m", "alnico", "run"]
    subprocess.run([*command, str(plain)], env=environment, check=True, capture_output=True)
    run = subprocess.Popen(
        [*command, str(nodes)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    first = CampaignFolder.open(nodes).round(0)
    while not list(first.train.glob("checkpoint*")):
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.02)
    for worker in psutil.Process(run.pid).children(recursive=True):
        if "spawn_main" in " ".join(worker.cmdline()):
            worker.kill()
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert "it is started again" in said
    assert "training as a job on the engine" in said
    assert "exploration as a job on the engine" in said
    for number in (0, 1):
        a, b = (results(CampaignFolder.open(path).round(number)) for path in (plain, nodes))
        pd.testing.assert_frame_equal(a, b, rtol=0.02)


def results(here: RoundFolder) -> pd.DataFrame:
    return pd.read_csv(here.train / "history.csv").drop(columns="seconds", errors="ignore")
