"""The registry: versions from code, who becomes champion, and both ways to load it."""

import pickle
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from mlflow import MlflowClient

from alnico import load_champion
from flows.record.folder import CampaignFolder
from flows.tracking.mlflow_metrics import FORCE_MAE
from flows.tracking.registry import holder, logged_model_of, verdict_on
from flows.tracking.store import default_tracking_uri
from flows.tracking.tracker import Tracker
from potential.package import save_potential
from tests.support.systems import model

WATER = Atoms("OH2", [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


@pytest.fixture
def campaign(
    finished_campaign: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CampaignFolder:
    """A finished campaign with a potential that computes, and its store where the default is."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, finished_campaign.parent / "mlflow.db")
    publish(finished_campaign, seed=1)
    return CampaignFolder.open(finished_campaign)


def publish(folder: Path, *, seed: int) -> None:
    shutil.rmtree(folder / "potential")
    save_potential(folder / "potential", model([1, 6, 8], seed=seed), {"name": "ethanol"})


def log(campaign: CampaignFolder) -> MlflowClient:
    tracker = Tracker(campaign)
    tracker.log_start()
    tracker.log_end()
    assert not tracker.warned
    return MlflowClient(tracking_uri=default_tracking_uri(campaign.path.parent))


def scale_errors(campaign: CampaignFolder, factor: float) -> None:
    """Make the errors of the best round larger or smaller."""
    table = campaign.round(3).test_atoms
    atoms = pd.read_csv(table, dtype={"frame_id": str})
    for axis in "xyz":
        atoms[f"f{axis}"] = atoms[f"f{axis}_ref"] + factor * (atoms[f"f{axis}"] - atoms[f"f{axis}_ref"])
    atoms.to_csv(table, index=False)


def test_the_champion_loads_from_code_without_pickle(
    campaign: CampaignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = log(campaign)
    uri = default_tracking_uri(campaign.path.parent)
    assert log(campaign).get_model_version_by_alias("ethanol", "champion").version == 1  # though logged twice
    champion = holder(client, "ethanol", "champion")
    assert champion is not None
    assert champion.tags["judgement"] == "the first"
    assert holder(client, "ethanol", "challenger") is None

    logged = client.get_logged_model(logged_model_of(champion))
    best = campaign.results()[3]
    tied = {metric.key: (metric.value, metric.step) for metric in logged.metrics}
    assert tied[FORCE_MAE] == (pytest.approx(1000 * best.test.force_mae), best.n_labels)
    run = client.get_run(champion.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]
    history = client.get_metric_history(champion.run_id, FORCE_MAE)
    assert len(history) == 4  # tying them to the model has not logged the last one twice

    mlflow.set_tracking_uri(uri)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
    finally:
        mlflow.set_tracking_uri(None)
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"committee_model.py", "weights.safetensors", "test_errors.csv"} <= files
    assert not {name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth"))}

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle was used")

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    for module in (pickle, mlflow.pyfunc.model.cloudpickle):
        monkeypatch.setattr(module, "load", never)
        monkeypatch.setattr(module, "loads", never)
    mlflow.set_tracking_uri(uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/ethanol@champion")
    finally:
        mlflow.set_tracking_uri(None)
    (found,) = loaded.predict([{"numbers": [8, 1, 1], "positions": WATER.positions.tolist()}])

    atoms = WATER.copy()
    atoms.calc = load_champion("ethanol")
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    assert np.allclose(found.forces, atoms.get_forces(), atol=1e-5)
    assert np.allclose(found.force_disagreement, atoms.calc.results["force_disagreement"], atol=1e-5)


def test_only_what_is_better_beyond_its_error_bar_is_promoted(campaign: CampaignFolder) -> None:
    client = log(campaign)
    scale_errors(campaign, 1.0 + 1e-3)
    publish(campaign.path, seed=2)
    log(campaign)
    assert holder(client, "ethanol", "champion").version == 1
    challenger = holder(client, "ethanol", "challenger")
    assert challenger.version == 2
    assert (
        "not better beyond the error bar: force MAE less the champion's +0.1 meV/Å"
        in (challenger.tags["judgement"])
    )

    scale_errors(campaign, 0.5)
    publish(campaign.path, seed=3)
    log(campaign)
    champion = holder(client, "ethanol", "champion")
    assert champion.version == 3
    assert champion.tags["judgement"].startswith("better beyond the error bar: ")
    assert holder(client, "ethanol", "challenger") is None


def errors(force_mae: list[float], first: int = 0) -> pd.DataFrame:
    ids = [f"{first + i:016x}" for i in range(len(force_mae))]
    return pd.DataFrame({"frame_id": ids, "n_atoms": 9, "force_mae": force_mae})


def test_what_is_hard_for_both_cancels() -> None:
    """Frames spread by 100 meV/Å, and one committee is better by 2 on each: better, as the pairs show."""
    rng = np.random.default_rng(3)
    spread = 0.2 + 0.1 * rng.random(20)
    gain = 0.002 + 0.001 * rng.random(20)
    promoted, why = verdict_on(errors(list(spread - gain)), errors(list(spread)))
    assert promoted
    assert why.startswith("better beyond the error bar: force MAE less the champion's -2.")
    by_chance, _ = verdict_on(errors(list(spread + 0.01 * rng.normal(size=20))), errors(list(spread)))
    assert not by_chance


def test_errors_of_other_frames_are_not_compared() -> None:
    promoted, why = verdict_on(errors([0.1] * 5), errors([0.3] * 5, first=100))
    assert not promoted
    assert "other test frames" in why


def test_an_unknown_model_is_said(campaign: CampaignFolder) -> None:
    log(campaign)
    with pytest.raises(LookupError, match="no model methanol with alias champion"):
        load_champion("methanol")
