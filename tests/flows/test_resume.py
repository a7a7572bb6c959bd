"""A campaign that is killed goes on from its last finished stage; nothing labelled is computed twice.

Real processes: `python -m alnico run`, killed with its whole process group at moments that are
watched for in the campaign's folder. Every computation of a label writes a line into a log, from
inside the worker process that computes it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from safetensors import safe_open

from flows.cli.app import run_command
from flows.engine.prefect_runs import RECORD
from flows.record.folder import CampaignFolder
from flows.record.lock import is_locked
from flows.record.stages import is_finished, is_started
from labeling.store import LabelStore

# Python imports `sitecustomize` when it starts: in the label workers it notes each computation, and
# makes it last long enough to be interrupted.
NOTE_COMPUTATIONS = """
import os, sys, time
if "labeling.child" in sys.orig_argv:
    from labeling import lennard_jones
    compute = lennard_jones.compute
    def noted(frame, level):
        with open(os.environ["COMPUTED_LOG"], "a") as log:
            log.write(frame.id + "\\n")
        time.sleep(0.1)
        return compute(frame, level)
    lennard_jones.compute = noted
"""

WORKERS = 2


class Runs:
    """Starts `alnico run` on one campaign, each in a session of its own."""

    def __init__(self, yaml_file: Path, prefect_url: str) -> None:
        (yaml_file.parent / "sitecustomize.py").write_text(NOTE_COMPUTATIONS)
        self.yaml_file, self.log = yaml_file, yaml_file.parent / "computed.log"
        self.folder = CampaignFolder.open(yaml_file)
        self.environment = {
            **os.environ,
            "PREFECT_API_URL": prefect_url,
            "PYTHONPATH": str(yaml_file.parent),
            "COMPUTED_LOG": str(self.log),
        }

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "alnico", "run", str(self.yaml_file)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A background job of a shell ignores SIGINT, and so would the campaign.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def stop_when(
        self, moment: Callable[[], bool], how: signal.Signals, *, meanwhile: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """Signal the whole process group at the moment; returns exit code and output."""
        process = self.start()
        try:
            self._wait(lambda: is_locked(self.folder.path) is not None, process)
            if meanwhile is not None:
                meanwhile()
            self._wait(moment, process)
        finally:
            os.killpg(process.pid, how)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    @staticmethod
    def _wait(moment: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not moment():
            if process.poll() is not None:
                pytest.fail(f"the campaign ended before its moment came:\n{process.communicate()[0]}")
            assert time.monotonic() < deadline, "the moment did not come within two minutes"
            time.sleep(0.002)

    def labelled(self) -> set[str]:
        return {item.frame.id for item in LabelStore(self.folder.label_store)}

    def failed(self) -> set[str]:
        return {frame.id for frame, _ in LabelStore(self.folder.label_store).failures()}

    def computed(self) -> Counter[str]:
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()


@pytest.fixture
def runs(
    tmp_path: Path, prefect_url: str, one_mlflow_store: str, write_lj_campaign: Callable[..., Path]
) -> Runs:
    """A campaign whose stages last long enough to be interrupted."""
    training = {"max_epochs": 60, "checkpoint_every_epochs": 2}
    exploration = {
        "n_replicas": 6,
        "temperatures_K": [15.0, 30.0],
        "timestep_fs": 5.0,
        "n_steps": 2000,
        "record_every": 200,
        "lower_eV_per_A": 0.002,
        "upper_eV_per_A": 0.2,
        "stop_eV_per_A": 100.0,
    }
    config = write_lj_campaign(tmp_path, training=training, exploration=exploration)
    return Runs(config, prefect_url)


@pytest.mark.whole
def test_killed_again_and_again_it_finishes_and_labels_nothing_twice(
    runs: Runs, capsys: pytest.CaptureFixture[str]
):
    folder, first = runs.folder, runs.folder.round(0)

    def second_run_is_refused() -> None:
        assert run_command(["run", str(runs.yaml_file)]) == 1
        assert f"{folder.path} is in use by process" in capsys.readouterr().err

    code, _ = runs.stop_when(
        lambda: runs.computed().total() >= 5, signal.SIGKILL, meanwhile=second_run_is_refused
    )
    assert code == -signal.SIGKILL
    assert is_started(folder.first_labels)
    assert is_locked(folder.path) is None
    stored = runs.labelled()
    assert 1 <= len(stored) < 10
    frames_made = (folder.frames / "manifest.json").stat().st_mtime_ns

    checkpoint = first.train / "checkpoint.safetensors"
    code, _ = runs.stop_when(checkpoint.exists, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert is_started(first.train)
    with safe_open(checkpoint, framework="pt") as reader:
        saved = json.loads(reader.metadata()["facts"])["history"]
    assert 2 <= len(saved) < 60

    code, output = runs.stop_when(lambda: is_started(first.explore), signal.SIGINT)
    assert code == 130
    assert "interrupted; the same command goes on from here" in output
    assert not is_finished(first.explore)
    run = json.loads((folder.path / RECORD).read_text())["flow_run_id"]
    with get_client(sync_client=True) as client:
        stopped = client.read_flow_run(UUID(run))
    assert (stopped.name, stopped.state_name) == ("lj", "Stopped")

    last = runs.start()
    output, _ = last.communicate(timeout=200)
    assert last.returncode == 0, output

    results = folder.results()
    assert [result.round for result in results] == [0, 1]
    assert (folder.potential / "weights.safetensors").exists()
    assert (folder.frames / "manifest.json").stat().st_mtime_ns == frames_made
    assert not list(folder.path.rglob("started.json"))

    # the second run of the training began where the first had saved: its epochs have the seconds of then
    history = pd.read_csv(first.train / "history.csv")
    assert len(history) == 60
    assert history["seconds"][: len(saved)].tolist() == pytest.approx([r["seconds"] for r in saved], rel=1e-9)

    # what was stored at the first kill was computed once; only what was under way then, twice
    computed = runs.computed()
    assert {computed[frame_id] for frame_id in stored} == {1}
    assert computed.keys() == runs.labelled() | runs.failed()
    assert len(computed) == 10 + results[0].labels.n_labelled + results[0].labels.n_failed
    # the task that waits for a free worker may begin before the label that freed it is stored
    assert computed.total() - len(computed) <= WORKERS + 1
