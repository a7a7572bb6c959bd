"""What a weekly deployment runs: is the published potential still what its card says, and on what is new?

Numbers may move with a new version of torch, another machine, or a file that was changed. And a store that
several campaigns share gains labels that the potential has never seen.
"""

# Without `from __future__ import annotations`: Prefect makes the form of the annotations' values.
import json
from typing import Any

from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.states import Completed, Failed

from flows.deployments.parameters import below_working_folder
from flows.deployments.step import NOTHING_TO_DO
from flows.engine.openmp import let_waiting_threads_sleep
from flows.record.folder import CampaignFolder
from flows.record.rounds import read_outcomes
from flows.record.stages import is_finished

CHANGED = "Champion changed"
TEST, UNSEEN = "frozen test set", "labels it has not seen"
SAME_SHARE, SAME_MEV = 1e-3, 0.01
"""Force errors are the same within the sum of both (a share of it, meV/Å): float32 on another machine."""


@flow(name="champion-check", flow_run_name="{campaign}", persist_result=False)
def champion_check(campaign: str) -> State:
    """Evaluate a campaign's published potential anew: on its frozen test set, and on labels it has not seen.

    Fails as **Champion changed** if the force error is no longer what the model card says.

    Args:
        campaign: The campaign's YAML file or its folder, below the working folder of the deployment.
    """
    folder = CampaignFolder.open(below_working_folder("campaign", campaign))
    if not is_finished(folder.potential):
        return Completed(name=NOTHING_TO_DO, message="No potential is published yet.")
    let_waiting_threads_sleep()
    rows = _errors(folder)
    create_table_artifact(
        rows,
        key=_artifact_key(folder),
        description=f"The published potential of {folder.config.name}, evaluated anew",
    )
    _log(folder, rows)
    now, then = rows[0]["force MAE (meV/Å)"], rows[0]["on its card (meV/Å)"]
    said = "; ".join(f"{row['set']}: {row['force MAE (meV/Å)']:.2f} meV/Å of {row['frames']}" for row in rows)
    if abs(now - then) > SAME_SHARE * then + SAME_MEV:
        return Failed(name=CHANGED, message=f"Its card says {then:.2f} meV/Å. {said}.")
    return Completed(message=f"As its card says. {said}.")


def _log(folder: CampaignFolder, rows: list[dict[str, Any]]) -> None:
    from flows.engine.prefect_runs import page_of_run
    from flows.tracking.tracker import Tracker

    errors = {
        f"{'test' if row['set'] == TEST else 'unseen'}_mae_meV_per_A": row["force MAE (meV/Å)"]
        for row in rows
    }
    Tracker(folder, flow_run=page_of_run()).log_check(errors)


def _artifact_key(folder: CampaignFolder) -> str:
    from flows.views.progress import artifact_key

    return artifact_key(f"{folder.config.name}-champion")


def _errors(folder: CampaignFolder) -> list[dict[str, Any]]:
    """Errors on the frozen test set, and on labels that it has not seen, if there are any."""
    from flows.record.roles import frozen_frames
    from flows.steps.frozen import frozen_tests
    from flows.views.summary import champion_round
    from labeling.store import LabelStore
    from potential.data.structure_files import read_frames
    from potential.evaluation import evaluate
    from potential.evaluator import Evaluator
    from potential.package import load_potential

    store, level = LabelStore(folder.label_store), folder.config.level
    committee = Evaluator(load_potential(folder.potential))
    test = read_frames(folder.test_frames)
    sets = {TEST: frozen_tests(folder)["test"]}
    known = {frame.id for frame in [*frozen_frames(folder), *read_frames(folder.initial_frames)]}
    for number in range(champion_round(folder.results(up_to=folder.config.rounds)).round):
        known |= set(read_outcomes(folder.round(number).outcomes)["frame_id"])
    elements = {int(z) for frame in test for z in frame.numbers}
    unseen = [
        frame
        for frame in store.frames(level.key)
        if frame.id not in known and elements.issuperset(frame.numbers.tolist())
    ]
    if unseen:
        sets[UNSEEN] = store.dataset(unseen, level.key)
    card = json.loads(folder.model_card.read_bytes())["test errors"]["force MAE, meV/Å"]
    rows = []
    for name, data in sets.items():
        found = evaluate(committee, data)
        rows.append(
            {
                "set": name,
                "frames": found.n_frames,
                "force MAE (meV/Å)": 1000 * found.force_mae,
                "on its card (meV/Å)": card if name == TEST else None,
                "energy MAE (meV/atom)": 1000 * found.energy_mae,
            }
        )
    return rows
