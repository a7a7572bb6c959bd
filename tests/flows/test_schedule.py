"""A schedule for real: server, worker and deployment as processes, on SQLite in a folder of their own.

A run is killed, then the machine goes down under the next, with its worker; the one after it goes on with
the campaign, another finishes it, and then there is nothing to do.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun

from flows.record.folder import CampaignFolder
from flows.record.stages import is_started
from labeling.store import LabelStore
from tests.support.installation import installation, kill, wait_for

pytestmark = pytest.mark.slow

EVERY_S = 15
REFUSED = ("Cancelled", "Busy", "Nothing to do")


def holder(folder: CampaignFolder) -> int:
    """The process that last held the campaign; 0 before there was one."""
    signature = folder.path / ".campaign.holder.json"
    return int(json.loads(signature.read_text())["pid"]) if signature.exists() else 0


def checkpointed_at(folder: CampaignFolder) -> float:
    """When the training last wrote a checkpoint, seconds of the clock; 0 if it has not."""
    times = [0.0]
    for path in folder.path.rglob("checkpoint.safetensors"):
        with suppress(FileNotFoundError):  # replaced just now
            times.append(path.stat().st_mtime)
    return max(times)


def missed(runs: list[FlowRun]) -> list[FlowRun]:
    """Those whose time has come and that nobody began."""
    now = datetime.now(UTC)
    waiting = [run for run in runs if run.state is not None and run.state.is_scheduled()]
    return [run for run in waiting if run.expected_start_time is not None and run.expected_start_time < now]


@pytest.mark.timeout(1800)
def test_a_schedule_takes_a_campaign_to_its_end(
    tmp_path: Path, write_lj_campaign: Callable[..., Path]
) -> None:
    with installation(tmp_path / "prefect", tmp_path / "mine") as prefect:
        path = write_lj_campaign(prefect.folder, training={"max_epochs": 300, "checkpoint_every_epochs": 5})
        folder = CampaignFolder.open(path)
        said = prefect.call("alnico", "deploy", "lj.yaml", "--cron", "0 2 * * *")
        assert "prefect worker start --pool workstation" in said
        prefect.every("campaign-step/lj", EVERY_S)
        worker = prefect.start_worker()

        wait_for("the first training", lambda: is_started(folder.round(0).train))
        labelled = {item.frame.id: item.label for item in LabelStore(folder.label_store)}
        first = holder(folder)
        os.kill(first, signal.SIGKILL)

        killed_at = time.time()
        wait_for("the next training", lambda: checkpointed_at(folder) > killed_at)
        assert holder(folder) != first
        kill(worker)  # and its machine
        os.kill(holder(folder), signal.SIGKILL)
        wait_for("three missed runs", lambda: len(missed(prefect.all_runs())) >= 3)
        late = {run.id for run in missed(prefect.all_runs())}
        prefect.start_worker()

        wait_for("the end", lambda: any(run.state_name == "Nothing to do" for run in prefect.runs()))
        runs = prefect.runs()
    assert len(late & {run.id for run in runs}) >= 3
    at_work = [run for run in runs if run.start_time is not None and run.state_name not in REFUSED]
    states = [run.state_name for run in at_work]
    assert states[:2] == ["Crashed", "Crashed"]
    assert set(states[2:-2]) <= {"Crashed"}  # that the worker had just started when it died
    assert states[-2:] == ["Completed", "Completed"]
    messages = [str(run.state.message) for run in at_work if run.state is not None]
    assert messages[-2].startswith("1 of 2 rounds are done. The next run goes on.")
    assert messages[-1].startswith("2 of 2 rounds are done. It has ended.")
    for one, other in pairwise([at_work[0], *at_work[-2:]]):  # never two at once
        assert one.end_time is not None
        assert other.start_time is not None
        assert one.end_time <= other.start_time
    assert len(late & {run.id for run in at_work[-2:]}) <= 1  # they do not pile up
    assert folder.report.exists()
    now = {item.frame.id: item.label for item in LabelStore(folder.label_store)}
    assert labelled
    assert {id: now[id].provenance for id in labelled} == {id: x.provenance for id, x in labelled.items()}
