"""What an on-demand deployment runs: a learning-curve study, from where it stands."""

# Without `from __future__ import annotations`: Prefect makes the form of the annotations' values.
from prefect import State, flow
from prefect.states import Completed

from flows.deployments.parameters import below_working_folder
from flows.deployments.step import BUSY
from flows.engine.openmp import let_waiting_threads_sleep
from flows.errors import CampaignLockedError


@flow(name="study-step", flow_run_name="{study}", persist_result=False)
def study_step(study: str) -> State:
    """Run a study of strategies and models on a labelled pool, or go on with it.

    Ends as **Busy** while another run works on it.

    Args:
        study: The study's YAML file, below the working folder of the deployment.
    """
    file = below_working_folder("study", study)
    let_waiting_threads_sleep()
    from flows.study.curves import folder_of
    from flows.study.loop import run_study

    try:
        folder = folder_of(run_study(file))
    except CampaignLockedError as error:
        return Completed(name=BUSY, message=str(error))
    return Completed(message=f"Its tables are in {folder / 'study.md'}, its figure beside them.")
