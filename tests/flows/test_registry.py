"""The registry: versions from code, who becomes champion, and both ways to load it."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from ase import Atoms
from mlflow import MlflowClient

from alnico import load_champion
from flows.record.folder import CampaignFolder
from flows.tracking.mlflow_metrics import FORCE_MAE
from flows.tracking.registry import Candidate, holder, logged_model_of, verdict_on
from flows.tracking.store import default_tracking_uri
from flows.tracking.tracker import Tracker
from potential.data.dataset import Dataset
from potential.package import save_potential
from potential.roles import Roles
from tests.support.systems import labelled_by, model, water

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
    Roles.made(train=["a"]).save(folder / "potential")


def log(campaign: CampaignFolder) -> MlflowClient:
    tracker = Tracker(campaign)
    tracker.log_start()
    tracker.log_end()
    assert not tracker.warned
    return MlflowClient(tracking_uri=default_tracking_uri(campaign.path.parent))


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
    assert {"committee_model.py", "weights.safetensors"} <= files
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


def test_a_campaign_chooses_among_its_own_rounds_and_another_has_to_be_better(
    campaign: CampaignFolder,
) -> None:
    client = log(campaign)
    publish(campaign.path, seed=2)
    log(campaign)
    champion = holder(client, "ethanol", "champion")
    assert champion.version == 2
    assert champion.tags["judgement"].startswith("of the champion's own campaign")
    assert holder(client, "ethanol", "challenger") is None

    (campaign.path / "tracking.json").unlink()  # another campaign of this name, without labels to compare on
    publish(campaign.path, seed=3)
    log(campaign)
    assert holder(client, "ethanol", "champion").version == 2
    challenger = holder(client, "ethanol", "challenger")
    assert challenger.version == 3
    assert challenger.tags["judgement"].startswith("not compared: 0 labels that neither has learned from")


def candidate(folder: Path, held_out: Dataset, *, seed: int) -> Candidate:
    """A potential of random weights for water; with all that it was not trained on."""
    save_potential(folder, model([1, 8], seed=seed), {"reference": {"level of theory": "x"}})
    Roles.made(train=[], held_out=[frame.id for frame in held_out.frames]).save(folder)
    return Candidate(potential=folder, digest="", held_out=held_out, metrics=[], step=0, description="")


def test_it_is_judged_on_labels_that_neither_has_learned_from(tmp_path: Path) -> None:
    one, other = (candidate(tmp_path / str(n), Dataset(), seed=n) for n in range(2))
    mine = labelled_by(model([1, 8], seed=0), *(water(i) for i in range(8)))
    promoted, why = verdict_on(replace(one, held_out=mine), other.potential)
    assert promoted
    assert why.startswith("better beyond the error bar: force MAE less the champion's -")
    assert why.endswith("on 8 labels that neither has learned from")
    promoted, why = verdict_on(replace(other, held_out=mine), one.potential)
    assert not promoted
    assert why.startswith("not better beyond the error bar: force MAE less the champion's +")

    Roles.made(train=[frame.id for frame in mine.frames[:4]]).save(other.potential)
    promoted, why = verdict_on(replace(one, held_out=mine), other.potential)
    assert (promoted, why.partition(": ")[2]) == (
        False,
        "4 labels that neither has learned from are too few (6 needed)",
    )
    (other.potential / "frames.csv").unlink()
    _, why = verdict_on(replace(one, held_out=mine), other.potential)
    assert why == "not compared: the champion does not say what it learned from"
    (other.potential / "model_card.json").write_text('{"reference": {"level of theory": "y"}}')
    assert "another level of theory" in verdict_on(replace(one, held_out=mine), other.potential)[1]


def test_a_folder_with_signs_of_uris_in_its_name(campaign: CampaignFolder, tmp_path: Path) -> None:
    odd = campaign.path.parent.rename(tmp_path / "run #1 %41")
    moved = CampaignFolder.open(odd / campaign.path.name)
    log(moved)
    loaded = load_champion("ethanol", tracking_uri=default_tracking_uri(odd))
    assert loaded.members == 2


def test_an_unknown_model_is_said(campaign: CampaignFolder) -> None:
    log(campaign)
    with pytest.raises(LookupError, match="no model methanol with alias champion"):
        load_champion("methanol")
