"""`alnico deploy`: the pool and the deployment that it leaves on a server, however often it is called."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate

from flows.cli.app import run_command
from flows.deployments.create import entrypoint
from flows.deployments.step import campaign_step
from tests.support.documents import ROOT

Said = pytest.CaptureFixture[str]
ENTRYPOINT = "flows.deployments.step.campaign_step"
FILE = ROOT / "deployments" / "prefect.yaml"


@pytest.fixture
def here(tmp_path: Path, write_lj_campaign: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    write_lj_campaign(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def deployed() -> DeploymentResponse:
    with get_client(sync_client=True) as client:
        found = [d for d in client.read_deployments() if d.name == "lj"]
    assert len(found) == 1
    return found[0]


def test_deploying_again_changes_what_is_there(here: Path, prefect_url: str, capsys: Said) -> None:
    assert run_command(["deploy", "lj.yaml", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin"]) == 0
    said = capsys.readouterr().out
    assert f"runs        1 round, at `0 2 * * *` (Europe/Berlin), in {here}" in said
    assert "prefect worker start --pool workstation" in said
    assert "prefect deployment run campaign-step/lj" in said
    first = deployed()
    (schedule,) = first.schedules
    assert schedule.schedule == CronSchedule(cron="0 2 * * *", timezone="Europe/Berlin")
    assert first.parameters == {"campaign": "lj.yaml", "rounds_per_run": 1}
    assert first.job_variables == {"working_dir": str(here)}
    assert (first.work_pool_name, first.entrypoint, first.pull_steps) == ("workstation", ENTRYPOINT, [])
    assert first.global_concurrency_limit is not None
    assert first.global_concurrency_limit.limit == 1
    assert first.concurrency_options is not None
    assert first.concurrency_options.collision_strategy == "CANCEL_NEW"
    form = first.parameter_openapi_schema
    assert form is not None
    assert set(form["properties"]) == {"campaign", "rounds_per_run"}
    assert all(field["description"] for field in form["properties"].values())
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool("workstation")
    assert pool.type == "process"
    assert "working_dir" in pool.base_job_template["variables"]["properties"]

    assert run_command(["deploy", "lj.yaml", "--rounds-per-run", "3"]) == 0
    assert "up to 3 rounds, when asked to" in capsys.readouterr().out
    second = deployed()
    assert second.id == first.id
    assert second.schedules == []
    assert second.parameters == {"campaign": "lj.yaml", "rounds_per_run": 3}
    assert second.global_concurrency_limit is not None
    assert second.global_concurrency_limit.limit == 1


@pytest.mark.parametrize("relative", [False, True])
def test_a_campaign_elsewhere_runs_in_its_own_folder(
    relative: bool, here: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert run_command(["deploy", "../lj.yaml" if relative else str(here / "lj.yaml")]) == 0
    assert deployed().job_variables == {"working_dir": str(here)}
    assert deployed().parameters["campaign"] == "lj.yaml"


def test_what_goes_with_a_campaign_is_deployed_with_it(
    here: Path, prefect_url: str, write_lj_campaign: Callable[..., Path], capsys: Said
) -> None:
    write_lj_campaign(here, name="watched", review="before_labels")
    assert run_command(["deploy", "lj.yaml", "--check-cron", "0 6 * * 1"]) == 0
    said = capsys.readouterr().out
    assert "champion-check/watched" in said
    with get_client(sync_client=True) as client:
        step = client.read_deployment_by_name("campaign-step/watched")
        review = client.read_deployment_by_name("campaign-review/watched")
        check = client.read_deployment_by_name("champion-check/watched")
    assert step.schedules == review.schedules == []
    assert [schedule.schedule for schedule in check.schedules] == [
        CronSchedule(cron="0 6 * * 1", timezone="UTC")
    ]
    assert review.parameters == {"campaign": "lj.yaml", "decision": "approve"}
    form = review.parameter_openapi_schema
    assert form is not None
    assert form["properties"]["decision"]["enum"] == ["approve", "reject"]
    assert form["required"] == ["campaign", "decision"]
    assert {d.work_pool_name for d in (step, review, check)} == {"workstation"}


def test_the_file_fits_prefects_models_and_our_flows() -> None:
    """Prefect ignores keys that it does not know; here they are refused."""
    content = yaml.safe_load(FILE.read_text())
    assert len(PrefectYamlModel.model_validate(content).deployments) == len(content["deployments"]) == 4
    for deployment in content["deployments"]:
        assert set(deployment) <= set(DeploymentConfig.model_fields), deployment["name"]
        flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
        assert entrypoint(flow) == deployment["entrypoint"]
        schema = parameter_schema(flow).model_dump_for_openapi()
        assert set(deployment["parameters"]) <= set(schema["properties"])
        validate(deployment["parameters"], schema, raise_on_error=True, ignore_required=True)
        assert all(field["description"] for field in schema["properties"].values())


@pytest.mark.slow
def test_prefects_own_command_deploys_the_file(prefect_url: str) -> None:
    """As its first lines say; the campaign that it names is there."""
    lines = [
        line.removeprefix("#   ") for line in FILE.read_text().splitlines() if line.startswith("#   prefect")
    ]
    assert len(lines) == 2
    environment = {**os.environ, "PREFECT_API_URL": prefect_url}
    for line in lines:
        program, *arguments = shlex.split(line)
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments, *(["--overwrite"] * ("create" in line))],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        made = client.read_deployment_by_name("campaign-step/nightly")
        weekly = client.read_deployment_by_name("champion-check/weekly")
        client.read_deployment_by_name("campaign-review/review")
        study = client.read_deployment_by_name("study-step/on-demand")
    assert [schedule.schedule for schedule in weekly.schedules] == [
        CronSchedule(cron="0 6 * * 1", timezone="UTC")
    ]
    assert study.parameter_openapi_schema["required"] == ["study"]
    assert made.entrypoint == ENTRYPOINT
    assert made.job_variables == {"working_dir": str(ROOT)}
    assert [schedule.schedule for schedule in made.schedules] == [
        CronSchedule(cron="0 2 * * *", timezone="UTC")
    ]
    assert made.global_concurrency_limit is not None
    assert made.global_concurrency_limit.limit == 1
    assert (ROOT / made.parameters["campaign"]).exists()
    assert not made.pull_steps
    assert made.parameter_openapi_schema is not None
    assert made.parameter_openapi_schema["required"] == ["campaign"]


def test_the_entry_point_is_a_module_that_every_installation_has() -> None:
    assert load_flow_from_entrypoint(ENTRYPOINT, use_placeholder_flow=False) is campaign_step


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cron", "every night"], "--cron 'every night'"),
        (["--check-cron", "weekly"], "--check-cron 'weekly'"),
        (["--cron", "0 2 * * *", "--timezone", "Berlin"], "--timezone 'Berlin'"),
        (["--rounds-per-run", "0"], "--rounds-per-run 0: must be 1 or more"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_created(
    arguments: list[str], problem: str, here: Path, capsys: Said
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert run_command(["deploy", "lj.yaml", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_without_a_server_the_commands_that_start_one_are_said(here: Path, capsys: Said) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert run_command(["deploy", "lj.yaml"]) == 1
    said = capsys.readouterr().err
    assert "prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api" in said
    assert "prefect server start" in said


def test_a_server_that_does_not_answer_is_said(here: Path, capsys: Said) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert run_command(["deploy", "lj.yaml"]) == 1
    assert "no Prefect server answers at http://127.0.0.1:9/api" in capsys.readouterr().err


def test_a_pool_of_another_type_is_refused(here: Path, prefect_url: str, capsys: Said) -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="boxes", type="docker"))
    assert run_command(["deploy", "lj.yaml", "--pool", "boxes"]) == 1
    assert "boxes is of type docker" in capsys.readouterr().err
