"""What a campaign has logged to an MLflow store."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from flows.record.folder import CampaignFolder
from flows.tracking.tracker import Tracker


def runs_of(uri: str, name: str = "ethanol") -> dict[str, Run]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    by_part = {run.data.tags["campaign_part"]: run for run in found}
    assert len(by_part) == len(found), "a run exists twice"
    return by_part


def curve(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in sorted(history, key=lambda point: point.step)]


def run_through(tracker: Tracker, folder: Path) -> None:
    """What a campaign calls, in its order."""
    tracker.log_start()
    campaign = CampaignFolder.open(folder)
    for result in campaign.results():
        tracker.log_round(campaign.round(result.round), result)
    tracker.log_end()
