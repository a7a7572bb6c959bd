"""What a campaign leaves in Prefect: a killed run is closed by the next, old ones go, others stay."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, tags, task
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Running

from flows.engine import prefect_runs
from flows.engine.prefect_runs import RECORD, TAG, delete_old_runs, take_over


@flow(name="trial")
def trial(folder: Path) -> str:
    take_over(folder)
    return str(flow_run.id)


@task
def step() -> None:
    """A task that never starts."""


def test_a_resume_marks_its_killed_predecessor_as_crashed(tmp_path: Path, prefect_url: str):
    with get_client(sync_client=True) as client:
        killed = client.create_flow_run(trial, parameters={"folder": str(tmp_path)}, state=Running())
        client.create_task_run(step, killed.id, dynamic_key="0", state=Running())
        (tmp_path / RECORD).write_text(json.dumps({"flow_run_id": str(killed.id)}))
        mine = trial(tmp_path)
        assert json.loads((tmp_path / RECORD).read_text()) == {"flow_run_id": mine}
        before = client.read_flow_run(killed.id)
        assert before.state is not None
        assert before.state.is_crashed()
        assert mine in str(before.state.message)
        (task_run,) = (run for run in client.read_task_runs() if run.flow_run_id == killed.id)
        assert task_run.state is not None
        assert task_run.state.is_crashed()
        trial(tmp_path)  # what has ended keeps its state
        after = client.read_flow_run(UUID(mine))
        assert after.state is not None
        assert after.state.is_completed()


@pytest.mark.parametrize("record", ["", "[]", '{"flow_run_id": "x"}', '{"flow_run_id": null}'])
def test_a_damaged_or_foreign_record_stops_nothing(record: str, tmp_path: Path, prefect_url: str):
    (tmp_path / RECORD).write_text(record)
    assert json.loads((tmp_path / RECORD).read_text() or "0") != {"flow_run_id": (mine := trial(tmp_path))}
    assert json.loads((tmp_path / RECORD).read_text()) == {"flow_run_id": mine}


def test_old_runs_of_campaigns_are_deleted_and_nothing_else(
    prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with tags(TAG):
        ours = trial(tmp_path)
    somebodys = trial(tmp_path)
    with get_client(sync_client=True) as client:
        running = str(client.create_flow_run(trial, tags=[TAG], state=Running()).id)
        assert delete_old_runs() == 0
        monkeypatch.setattr(prefect_runs, "KEEP", timedelta(seconds=-60))  # a minute from now
        assert delete_old_runs() >= 1
        left = {str(run.id) for run in client.read_flow_runs()}
    assert ours not in left
    assert {somebodys, running} <= left
