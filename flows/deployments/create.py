"""Put a campaign onto the configured Prefect server: work pool, its step, and what goes with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.deployments.champion import champion_check
from flows.deployments.review import campaign_review
from flows.deployments.step import campaign_step
from flows.engine.prefect_api import reach
from flows.engine.prefect_runs import TAG
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.version import version

Wanted = tuple[Flow[..., Any], dict[str, Any], list[DeploymentScheduleCreate]]
"""A flow, its parameters besides the campaign, and when it runs."""
NO_SERVER = """no Prefect server is configured; a schedule needs one that keeps running. On this machine:
  prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api
  prefect server start
then, in another terminal, the same command again."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What is on the server now.

    Attributes:
        names: as `prefect deployment run` takes them; the campaign's step first.
        url: page of the step in Prefect's dashboard; None where there is none.
        root: the folder in which runs start, and below which their campaigns lie.
    """

    names: tuple[str, ...]
    url: str | None
    pool: str
    root: Path


def deploy(
    campaign: Path,
    *,
    cron: str | None,
    timezone: str,
    rounds_per_run: int,
    pool: str,
    check_cron: str | None = None,
) -> Deployed:
    """Create work pool and deployments of a campaign, or make those that are there as it is said here.

    There is one for its step, one for the decisions of a reviewer if the campaign asks for them, and one
    that checks its potential, if that has a schedule.

    Args:
        campaign: YAML file or folder. A file below the current folder is named relative to it.
        cron: when it runs, five fields; None: when somebody asks for it.
        timezone: of both schedules, as in `Europe/Berlin`.
        rounds_per_run: rounds that a run finishes at most, unless it is started with another number.
        pool: a pool of type `process`.
        check_cron: when the published potential is evaluated anew; None: never.

    Raises:
        ConfigError: if the campaign or a schedule is wrong.
        CampaignError: if no server is configured or answers, or the pool is of another type.
    """
    folder = CampaignFolder.open(campaign)
    if rounds_per_run < 1:
        raise ConfigError("alnico deploy", [f"--rounds-per-run {rounds_per_run}: must be 1 or more"])
    schedule = _schedule("--cron", cron, timezone)
    wanted: list[Wanted] = [(campaign_step, {"rounds_per_run": rounds_per_run}, schedule)]
    if folder.config.review is not None:
        wanted.append((campaign_review, {"decision": "approve"}, []))
    if check_cron is not None:
        wanted.append((champion_check, {}, _schedule("--check-cron", check_cron, timezone)))
    settings = get_current_settings()
    if not settings.api.url:
        raise CampaignError(NO_SERVER)
    reach(settings.api.url)
    path, here = Path(os.path.abspath(campaign)), Path.cwd()
    root = here if path.is_relative_to(here) and path != here else path.parent
    try:
        with get_client(sync_client=True) as client:
            _have_pool(client, pool)
            made = [
                _deploy(
                    client,
                    flow,
                    folder.config.name,
                    {"campaign": str(path.relative_to(root)), **parameters},
                    schedules,
                    pool=pool,
                    root=root,
                )
                for flow, parameters, schedules in wanted
            ]
    except HTTPError as error:
        raise CampaignError(f"the Prefect server at {settings.api.url} refuses: {error}") from None
    ui = settings.ui_url
    return Deployed(
        names=tuple(f"{flow.name}/{folder.config.name}" for flow, _, _ in wanted),
        url=f"{ui}/deployments/deployment/{made[0]}" if ui else None,
        pool=pool,
        root=root,
    )


def _deploy(
    client: SyncPrefectClient,
    flow: Flow[..., Any],
    name: str,
    parameters: dict[str, Any],
    schedules: list[DeploymentScheduleCreate],
    *,
    pool: str,
    root: Path,
) -> UUID:
    return client.create_deployment(  # or update: it is known by its name
        flow_id=client.create_flow_from_name(flow.name),
        name=name,
        description=str(flow.description).partition("Args:")[0].strip(),
        version=version(),
        tags=[TAG, name],
        entrypoint=entrypoint(flow),
        pull_steps=[],
        parameters=parameters,
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        work_pool_name=pool,
        job_variables={"working_dir": str(root)},
        schedules=schedules,
        # A run that comes while another is at work is cancelled, and does not wait for its turn.
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
    )


def entrypoint(flow: Flow[..., Any]) -> str:
    """The module and name by which a worker finds a flow of ours."""
    return f"{flow.fn.__module__}.{flow.fn.__name__}"


def _have_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template)
        )
        return
    if found.type != ProcessWorker.type:
        raise CampaignError(
            f"the work pool {name} is of type {found.type}; `alnico deploy` wants one of type "
            f"{ProcessWorker.type}. Name another with --pool; it is made if there is none."
        )


def _schedule(option: str, cron: str | None, timezone: str) -> list[DeploymentScheduleCreate]:
    if cron is None:
        return []
    try:
        return [DeploymentScheduleCreate(schedule=CronSchedule(cron=cron, timezone=timezone))]
    except ValidationError as error:
        names = {"cron": option, "timezone": "--timezone"}
        problems = [
            f"{names.get(str(e['loc'][0]), e['loc'][0])} {e['input']!r}: {e['msg']}" for e in error.errors()
        ]
        hint = "five fields, e.g. '0 2 * * *' for every night at two; a zone is written Europe/Berlin"
        raise ConfigError("alnico deploy", [*problems, hint]) from None
