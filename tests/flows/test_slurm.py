"""Labels through a real SLURM: one node, on the loopback address."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.jobs.job import COUNT, TICKET
from flows.record.folder import CampaignFolder
from labeling.store import LabelStore
from tests.support import slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not slurm.can_run(), reason="needs slurm-wlm and munge, and to be root"),
    pytest.mark.timeout(1200),
]

SITE = """
interface: lo
prologue: [export PYTHONPATH={path}]
label: {{queue: debug, cores: 1, memory_GB: 2, walltime: "00:20:00", jobs: 2}}
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with slurm.slurm(tmp_path / "slurm") as conf:
        monkeypatch.setenv("SLURM_CONF", str(conf))
        yield


def jobs(state: str) -> list[str]:
    asked = ["squeue", "-h", "-o", "%i", "--states", state]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def write_campaign(folder: Path, write: Callable[..., Path], **changes: object) -> Path:
    (folder / "site.yaml").write_text(SITE.format(path=os.environ.get("PYTHONPATH", "")))
    labeling = {"engine": {"slurm": "site.yaml"}, "memory_GB": 2.0, "timeout_s": 600.0}
    return write(folder, labeling=labeling, **changes)


WATER = """\
3

O 0 0 0
H 0.96 0 0
H -0.24 0.93 0
"""


@pytest.mark.usefixtures("cluster")
def test_pyscf_labels_come_out_of_jobs_of_which_one_is_cancelled(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], prefect_url: str
) -> None:
    path = write_campaign(
        tmp_path,
        write_lj_campaign,
        rounds=0,
        level={"labeler": "pyscf", "xc": "PBE", "basis": "def2-TZVP", "density_fit": False, "grid_level": 3},
        pretraining=False,
    )
    path.write_text(path.read_text().replace(str(argon_file()), str(tmp_path / "water.xyz")))
    (tmp_path / "water.xyz").write_text(WATER)
    folder = CampaignFolder.open(path)
    environment = {**os.environ, "PREFECT_API_URL": prefect_url}
    run = subprocess.Popen(
        [sys.executable, "-m", "alnico", "run", str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for("two jobs", lambda: len(jobs("RUNNING")) == 2)
        first = jobs("RUNNING")
        wait_for("a label", lambda: stored(folder) >= 1)
        time.sleep(1.0)
        subprocess.run(["scancel", first[0]], check=True)
        wait_for("another job", lambda: going_on(run) and set(jobs("RUNNING")) - set(first))
        said, _ = run.communicate(timeout=900)
    finally:
        run.kill()
    assert run.returncode == 0, said
    assert "10 of 10 labelled" in said
    labels = [item.label for item in LabelStore(folder.label_store)]
    assert len(labels) == 10
    assert all(label.provenance["versions"]["pyscf"] for label in labels)
    wait_for("the end of all jobs", lambda: not jobs("RUNNING,PENDING,COMPLETING"))


@pytest.mark.usefixtures("cluster")
def test_the_engine_command_labels_in_a_job(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_campaign(tmp_path, write_lj_campaign)
    assert run_command(["engine", str(path)]) == 0
    assert "2 labels at once" in capsys.readouterr().out


@pytest.mark.usefixtures("cluster")
def test_a_training_whose_job_is_cancelled_goes_on_in_another(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], prefect_url: str
) -> None:
    path = write_campaign(tmp_path, write_lj_campaign, rounds=0)
    with (tmp_path / "site.yaml").open("a") as site:
        site.write('training: {queue: debug, cores: 1, memory_GB: 2, walltime: "00:20:00"}\n')
    folder = CampaignFolder.open(path)
    here = folder.round(0).train
    run = subprocess.Popen(
        [sys.executable, "-m", "alnico", "run", str(path)],
        env={**os.environ, "PREFECT_API_URL": prefect_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for("a checkpoint", lambda: list(here.glob("checkpoint*")))
        (first,) = jobs("RUNNING")
        subprocess.run(["scancel", first], check=True)
        wait_for("another job", lambda: going_on(run) and set(jobs("RUNNING")) - {first})
        said, _ = run.communicate(timeout=900)
    finally:
        run.kill()
    assert run.returncode == 0, said
    assert "training as a job on the engine" in said
    assert (here / "potential" / "weights.safetensors").exists()
    assert {file.name for file in here.iterdir()}.isdisjoint({TICKET, COUNT})
    wait_for("the end of all jobs", lambda: not jobs("RUNNING,PENDING,COMPLETING"))


def argon_file() -> Path:
    return Path(__file__).parents[2] / "examples" / "argon7.xyz"


def stored(folder: CampaignFolder) -> int:
    try:
        return sum(1 for _ in LabelStore(folder.label_store)) if Path(folder.label_store).exists() else 0
    except OSError:
        return 0


def going_on(run: subprocess.Popen[str]) -> bool:
    assert run.poll() is None, run.communicate()[0]
    return True


def wait_for(what: str, condition: Callable[[], object], patience_s: float = 300.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.3)
