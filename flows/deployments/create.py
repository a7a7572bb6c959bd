"""Put a campaign's step onto the configured Prefect server: work pool and deployment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.deployments.step import campaign_step
from flows.engine.prefect_api import reach
from flows.engine.prefect_runs import TAG
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.version import version

ENTRYPOINT = "flows.deployments.step.campaign_step"
NO_SERVER = """no Prefect server is configured; a schedule needs one that keeps running. On this machine:
  prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api
  prefect server start
then, in another terminal, the same command again."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment on a server.

    Attributes:
        name: as `prefect deployment run` takes it.
        url: its page in Prefect's dashboard; None where there is none.
        root: the folder in which its runs start, and below which their campaigns lie.
    """

    name: str
    url: str | None
    pool: str
    root: Path


def deploy(campaign: Path, *, cron: str | None, timezone: str, rounds_per_run: int, pool: str) -> Deployed:
    """Create the work pool, if there is none, and the campaign's deployment, or make it as it is said here.

    Args:
        campaign: YAML file or folder. A file below the current folder is named relative to it.
        cron: when it runs, five fields; None: when somebody asks for it.
        timezone: of `cron`, as in `Europe/Berlin`.
        rounds_per_run: rounds that a run finishes at most, unless it is started with another number.
        pool: a pool of type `process`.

    Raises:
        ConfigError: if the campaign or the schedule is wrong.
        CampaignError: if no server is configured or answers, or the pool is of another type.
    """
    folder = CampaignFolder.open(campaign)
    schedules = [] if cron is None else [DeploymentScheduleCreate(schedule=_schedule(cron, timezone))]
    if rounds_per_run < 1:
        raise ConfigError("alnico deploy", [f"--rounds-per-run {rounds_per_run}: must be 1 or more"])
    settings = get_current_settings()
    if not settings.api.url:
        raise CampaignError(NO_SERVER)
    reach(settings.api.url)
    path, here = Path(os.path.abspath(campaign)), Path.cwd()
    root = here if path.is_relative_to(here) and path != here else path.parent
    try:
        with get_client(sync_client=True) as client:
            _have_pool(client, pool)
            deployment = client.create_deployment(  # or update: it is known by its name
                flow_id=client.create_flow_from_name(campaign_step.name),
                name=folder.config.name,
                description=str(campaign_step.description).partition("Args:")[0].strip(),
                version=version(),
                tags=[TAG, folder.config.name],
                entrypoint=ENTRYPOINT,
                pull_steps=[],
                parameters={"campaign": str(path.relative_to(root)), "rounds_per_run": rounds_per_run},
                parameter_openapi_schema=parameter_schema(campaign_step).model_dump_for_openapi(),
                enforce_parameter_schema=True,
                work_pool_name=pool,
                job_variables={"working_dir": str(root)},
                schedules=schedules,
                # A run that comes while another is at work is cancelled, and does not wait for its turn.
                concurrency_limit=1,
                concurrency_options=ConcurrencyOptions(
                    collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
                ),
            )
    except HTTPError as error:
        raise CampaignError(f"the Prefect server at {settings.api.url} refuses: {error}") from None
    ui = settings.ui_url
    return Deployed(
        name=f"{campaign_step.name}/{folder.config.name}",
        url=f"{ui}/deployments/deployment/{deployment}" if ui else None,
        pool=pool,
        root=root,
    )


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


def _schedule(cron: str, timezone: str) -> CronSchedule:
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        problems = [f"--{e['loc'][0]} {e['input']!r}: {e['msg']}" for e in error.errors()]
        hint = "five fields, e.g. '0 2 * * *' for every night at two; a zone is written Europe/Berlin"
        raise ConfigError("alnico deploy", [*problems, hint]) from None
