"""The flow runs of campaigns in Prefect: one whose process was killed is closed, old ones are deleted."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Crashed

from potential.data.atomic_write import write_atomically

RECORD = ".prefect.json"
TAG = "alnico"
"""On the flow runs of `alnico run`, and so on those that may be deleted."""
KEEP = timedelta(days=30)
AT_WORK = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
MOST = 200
"""Runs that one campaign closes or deletes; it shall not wait for more."""

logger = logging.getLogger(__name__)


def take_over(campaign: Path) -> None:
    """Note this flow run in the campaign's folder; one that is noted there and still "runs" has crashed.

    For the flow to call, holding the campaign's lock: whoever was noted before is no more.
    """
    mine = flow_run.id
    record = campaign / RECORD
    try:
        before = json.loads(record.read_text(encoding="utf-8"))["flow_run_id"] if record.exists() else None
    except (ValueError, KeyError, TypeError):
        before = None
    if before not in (None, mine):
        try:
            _close(
                UUID(before), f"Its process ended without a word; flow run {mine} went on with the campaign."
            )
        except (PrefectException, HTTPError, ValueError):  # it was on another server, or is deleted
            logger.debug("cannot close flow run %s", before, exc_info=True)
    write_atomically(record, json.dumps({"flow_run_id": mine}))


def page_of_run() -> str | None:
    """Address of this flow run in Prefect's dashboard; None outside a flow run."""
    if flow_run.id is None:
        return None
    ui = get_current_settings().ui_url
    return f"{ui}/runs/flow-run/{flow_run.id}" if ui else None


def delete_old_runs() -> int:
    """Delete the flow runs of `alnico run` that ended more than 30 days ago, with task runs and logs.

    For the embedded database alone, which nobody else looks after. Returns how many.
    """
    try:
        return delete_runs(KEEP, at_most=MOST)
    except (PrefectException, HTTPError):
        logger.debug("cannot delete old flow runs", exc_info=True)
        return 0


def delete_runs(older_than: timedelta, *, at_most: int | None = None) -> int:
    """Delete flow runs of campaigns that ended so long ago, with their task runs, logs and artifacts.

    Runs of others on the same server stay: only those with the tag `alnico` go. Returns how many.
    """
    before, n = datetime.now(UTC) - older_than, 0
    old = FlowRunFilter.model_validate(
        {"tags": {"all_": [TAG]}, "state": {"type": {"any_": ENDED}}, "end_time": {"before_": before}}
    )
    with get_client(sync_client=True) as client:
        while at_most is None or n < at_most:
            runs = client.read_flow_runs(flow_run_filter=old, limit=MOST)
            for run in runs:
                while artifacts := client.read_artifacts(artifact_filter=_of_run(run.id), limit=MOST):
                    for artifact in artifacts:
                        client.delete_artifact(artifact.id)
                client.delete_flow_run(run.id)
            n += len(runs)
            if len(runs) < MOST:
                break
    return n


def _of_run(flow_run_id: UUID) -> ArtifactFilter:
    return ArtifactFilter.model_validate({"flow_run_id": {"any_": [flow_run_id]}})


def _close(before: UUID, message: str) -> None:
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(before)
        if run.state is None or run.state.type not in AT_WORK:
            return
        client.set_flow_run_state(before, Crashed(message=message), force=True)
        for task_run in _tasks_at_work(client, before):
            client.set_task_run_state(task_run, Crashed(message=message), force=True)


def _tasks_at_work(client: SyncPrefectClient, flow_run_id: UUID) -> list[UUID]:
    found = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}}),
        task_run_filter=TaskRunFilter.model_validate({"state": {"type": {"any_": AT_WORK}}}),
        limit=MOST,
    )
    return [task_run.id for task_run in found]
