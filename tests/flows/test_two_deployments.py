"""Two deployments of one campaign: one run at a time, and either goes on where the other stopped."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.objects import State

from flows.record.folder import CampaignFolder
from flows.record.stages import is_started
from tests.support.installation import Installation, installation, wait_for

pytestmark = pytest.mark.slow


def ended(prefect: Installation) -> list[State]:
    """The states of the runs that have ended, in the order in which they did."""
    runs = [run for run in prefect.runs() if run.state is not None and run.state.is_final()]
    return [run.state for run in sorted(runs, key=lambda run: str(run.end_time)) if run.state is not None]


@pytest.mark.timeout(1200)
def test_the_second_deployment_ends_as_busy_and_later_goes_on(
    tmp_path: Path, write_lj_campaign: Callable[..., Path]
) -> None:
    with installation(tmp_path / "prefect", tmp_path / "mine") as prefect:
        path = write_lj_campaign(prefect.folder, training={"max_epochs": 600})
        folder = CampaignFolder.open(path)
        prefect.call("alnico", "deploy", "lj.yaml")
        second = {
            "name": "second",
            "entrypoint": "flows.deployments.step.campaign_step",
            "parameters": {"campaign": "campaigns/lj"},  # by its folder
            "work_pool": {"name": "workstation", "job_variables": {"working_dir": str(prefect.folder)}},
        }
        (prefect.folder / "prefect.yaml").write_text(yaml.safe_dump({"pull": [], "deployments": [second]}))
        prefect.call("prefect", "--no-prompt", "deploy", "--all")
        prefect.start_worker()

        prefect.call("prefect", "deployment", "run", "campaign-step/lj")
        wait_for("the first training", lambda: is_started(folder.round(0).train))
        prefect.call("prefect", "deployment", "run", "campaign-step/second")
        wait_for("both ends", lambda: len(ended(prefect)) == 2)
        busy, first = ended(prefect)
        assert (busy.name, busy.type) == ("Busy", "COMPLETED")
        assert f"{folder.path} is in use by process" in str(busy.message)
        assert str(first.message).startswith("1 of 2 rounds are done. The next run goes on.")

        prefect.call("prefect", "deployment", "run", "campaign-step/second")
        wait_for("the end", lambda: len(ended(prefect)) == 3)
        assert str(ended(prefect)[-1].message).startswith("2 of 2 rounds are done. It has ended.")
