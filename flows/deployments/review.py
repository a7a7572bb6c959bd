"""The form in which a reviewer decides, as a deployment of its own: *Custom run* in the dashboard.

It writes the decision and ends; the next run of the campaign's step takes it up. So nobody's run is
suspended for days, and the folder alone says what was decided.
"""

# Without `from __future__ import annotations`: Prefect makes the form of the annotations' values.
from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from flows.deployments.parameters import below_working_folder
from flows.record.folder import CampaignFolder
from flows.record.review import decide_all


@flow(name="campaign-review", flow_run_name="{campaign}: {decision}", persist_result=False)
def campaign_review(
    campaign: str,
    decision: Literal["approve", "reject"],
    drop: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=10_000)] = [],  # noqa: B006
) -> State:
    """Decide on the frames that a campaign wants to label; the artifact NAME-review of its run shows them.

    Args:
        campaign: The campaign's YAML file or its folder, below the working folder of the deployment.
        decision: Label what was selected, or nothing; a rejected campaign ends.
        drop: Frames that shall not be labelled although the rest is, by the first digits of their ids.
    """
    folder = CampaignFolder.open(below_working_folder("campaign", campaign))
    said = decide_all(folder, approve=decision == "approve", drop=drop, by="form")
    return Completed(message=f"{said}. The next run of the campaign goes on.")
