"""What a deployment runs: a few rounds of a campaign, from where it stands.

`flows.deployments.step.campaign_step` is the entry point that deployments name. Whether there is anything
to do is decided before torch is imported, so that a schedule may go on firing after the campaign's end.
"""

# Without `from __future__ import annotations`: Prefect makes the form of the annotations' values.
from typing import Annotated

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from flows.deployments.parameters import below_working_folder
from flows.engine.openmp import let_waiting_threads_sleep
from flows.engine.prefect_runs import take_over
from flows.errors import CampaignLockedError, LabelsAwaitedError
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.record.review import WAITING, awaited, blocked, waits

NOTHING_TO_DO = "Nothing to do"
BUSY = "Busy"
WAITING_FOR_LABELS = "Waiting for labels"


@flow(name="campaign-step", flow_run_name="{campaign}", persist_result=False)
def campaign_step(
    campaign: str, rounds_per_run: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
) -> State:
    """Go on with a campaign of active learning for some rounds, from where it stands.

    Ends as **Nothing to do** once the campaign has ended, as **Waiting for review** while nobody has decided
    on its selection, as **Waiting for labels** while those from elsewhere are not imported, and as **Busy**
    while another run works on it.

    Args:
        campaign: The campaign's YAML file or its folder, below the working folder of the deployment.
        rounds_per_run: Rounds that this run finishes at most; the next run goes on.
    """
    folder = CampaignFolder.open(below_working_folder("campaign", campaign))
    try:
        with campaign_lock(folder.path):
            if why := ending(folder):
                return Completed(name=NOTHING_TO_DO, message=f"The campaign has ended: {why}.")
            if waiting := blocked(folder):
                return Completed(name=WAITING, message=waits(folder, waiting))
            take_over(folder.path)  # at once: nobody would say of a run that is killed before this that it is
            let_waiting_threads_sleep()
            from flows.campaign.loop import go_on  # imports torch

            ended = go_on(folder, rounds_per_run=rounds_per_run)
    except CampaignLockedError as error:
        return Completed(name=BUSY, message=str(error))
    except LabelsAwaitedError as error:
        return Completed(name=WAITING_FOR_LABELS, message=str(error))
    if waiting := awaited(folder):
        return Completed(name=WAITING, message=f"{waits(folder, waiting)}. {_reached(folder, ended)}")
    return Completed(message=_reached(folder, ended))


def _reached(folder: CampaignFolder, ended: bool) -> str:
    from flows.views.summary import verdict

    results = folder.results(up_to=folder.config.rounds)
    stands = "It has ended." if ended else "The next run goes on."
    return f"{len(results)} of {folder.config.rounds + 1} rounds are done. {stands} {verdict(results)}"
