"""Tracking against real MLflow stores: SQLite files, and a server over HTTP."""

import json
import os
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from flows.cli.dashboards import mlflow_problem
from flows.record.folder import CampaignFolder
from flows.tracking.mlflow_metrics import FORCE_MAE
from flows.tracking.store import default_tracking_uri, learning_curve_address
from flows.tracking.tracker import Tracker
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from tests.support.mlflow_runs import curve, run_through, runs_of


@pytest.fixture(scope="module")
def tracked(
    empty_store: Path, reported_campaign: Path, campaign_config, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A whole campaign that was logged twice, and its store: logging again must change nothing."""
    folder = tmp_path_factory.mktemp("tracked") / "ethanol"
    shutil.copytree(reported_campaign, folder)
    (folder.parent / "mlflow.db").write_bytes(empty_store.read_bytes())
    uri = f"sqlite:///{folder.parent / 'mlflow.db'}"
    uri_before, environment = mlflow.get_tracking_uri(), dict(os.environ)
    for _ in range(2):
        tracker = Tracker(CampaignFolder.open(folder), tracking_uri=uri)
        run_through(tracker, folder)
        assert not tracker.warned
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == uri_before
    left = {key for key in os.environ if os.environ[key] != environment.get(key)}
    assert left <= {"MLFLOW_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST"}
    return folder, uri


def test_runs_of_a_whole_campaign(tracked):
    _, uri = tracked
    runs = runs_of(uri)
    assert set(runs) == {"campaign", "round 0", "round 1", "round 2", "round 3"}
    parent = runs["campaign"]
    assert all(run.info.status == "FINISHED" for run in runs.values())
    children = {run.data.tags.get("mlflow.parentRunId") for name, run in runs.items() if name != "campaign"}
    assert children == {parent.info.run_id}
    assert parent.data.params["level.basis"] == "def2-SVP"
    assert parent.data.params["exploration.temperatures_K"] == "[300.0, 500.0, 800.0]"
    names = {run.info.run_name for run in runs.values()}
    assert names == {"ethanol"} | {f"ethanol, round {number}" for number in range(4)}
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("C2H6O, charge 0, singlet (1 structure); PBE/def2-SVP. The force error is ")
    assert "Its members agree within " in note
    assert "95 % interval" in note
    assert "It learned from 44 labels at " in note
    assert "All labels took " in note
    assert "It is not done: 4 of 4 rounds are finished." in note  # the made-up potential has no such card
    assert "fell from" in note
    assert "| 3 | 44 |" in note
    experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name("ethanol")
    assert experiment.tags["mlflow.note.content"].startswith("C2H6O, charge 0")


def test_metrics_are_learning_curves_over_the_labels(tracked):
    folder, uri = tracked
    runs = runs_of(uri)
    parent = runs["campaign"]
    expected = [(r.n_labels, 1000 * r.test.force_mae) for r in CampaignFolder.open(folder).results()]
    assert np.allclose(curve(uri, parent, FORCE_MAE), expected)
    # a child run has its training, and no chart of a single point
    for number in range(4):
        child = runs[f"round {number}"]
        assert all(len(curve(uri, child, metric)) > 1 for metric in child.data.metrics)
    assert curve(uri, parent, "6 exploration/failed_fraction")[0] == (20, pytest.approx(20 / 300))
    # 40 initial and test labels, 8 of each round but the last, one failure of 41 s in round 1
    total = curve(uri, parent, "4 cost/cumulative_label_seconds")
    labels = [(20 + 8 * number, 40 + 8 * min(number + 1, 3)) for number in range(4)]
    assert total == [(n, pytest.approx(made * 5.8 + 41 * (n > 20))) for n, made in labels]
    scf = curve(uri, parent, "4 cost/cumulative_label_scf_seconds")
    assert scf == [(n, pytest.approx(made * 4.2)) for n, made in labels]
    assert curve(uri, parent, "4 cost/label_failures_seconds") == [(20, 0.0), (28, 41.0), (36, 0.0)]
    assert [step for step, _ in curve(uri, parent, "6 exploration/failed")] == [20, 28, 36]
    assert min(parent.data.metrics) == FORCE_MAE  # MLflow sorts its charts


def test_training_history_is_logged_over_the_epochs(tracked):
    _, uri = tracked
    child = runs_of(uri)["round 1"]
    assert [step for step, _ in curve(uri, child, "3 training/loss")] == list(range(1, 151))
    validation = curve(uri, child, "1 force error/validation_mae_meV_per_A")
    assert [step for step, _ in validation] == list(range(5, 151, 5))


def test_figures_report_and_potential_are_artifacts(tracked):
    folder, uri = tracked
    client, runs = MlflowClient(tracking_uri=uri), runs_of(uri)

    def artifacts(run: str, path: str) -> set[str]:
        return {a.path for a in client.list_artifacts(runs[run].info.run_id, path)}

    assert "figures/learning_curve.svg" in artifacts("campaign", "figures")
    assert artifacts("campaign", "") == {"figures", "report.html"}
    drawn = ("force_parity", "energy_parity", "disagreement_and_error", "reliability", "training_history")
    assert artifacts("round 3", "figures") == {f"figures/{name}.svg" for name in drawn}
    assert {"selection.csv", "outcomes.csv"} <= artifacts("round 0", "")
    assert (folder.parent / "mlruns" / "ethanol").is_dir()


def test_datasets_are_inputs_named_by_their_fingerprint(tracked, campaign_config):
    folder, uri = tracked
    frame = Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    label = Label(frame_id=frame.id, level_key="k", energy=-31.0, forces=np.zeros((2, 3)))
    initial = Dataset.of([LabelledFrame(frame=frame, label=label)])
    for _ in range(2):
        Tracker(CampaignFolder.open(folder), tracking_uri=uri).log_start(initial)
    inputs = runs_of(uri)["campaign"].inputs.dataset_inputs
    found = [(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in inputs]
    (folder / "labels.db").write_bytes(b"labels")
    for each in inputs:
        assert Path(mlflow.data.get_source(each.dataset).load()).read_bytes() == b"labels"
        assert json.loads(each.dataset.profile)["level"] == campaign_config.level.name
    assert len(found) == len(set(found)) == 1 + 4 + 1
    assert ("ethanol-initial", initial.fingerprint, "initial") in found
    assert ("ethanol-test", "7e57f1a9e70000aa", "test") in found
    round_2 = [i.dataset.digest for i in runs_of(uri)["round 2"].inputs.dataset_inputs]
    assert sorted(round_2) == ["2d5e61f0a2b3c4d5", "7e57f1a9e70000aa"]


def test_nothing_is_logged_twice(tracked):
    _, uri = tracked
    for run in runs_of(uri).values():
        for metric in run.data.metrics:
            steps = [step for step, _ in curve(uri, run, metric)]
            assert len(steps) == len(set(steps))
    assert len(curve(uri, runs_of(uri)["campaign"], FORCE_MAE)) == 4


def test_a_round_logged_by_half_is_completed(first_round_only: Path, campaign_config, uri: str):
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    client, child = MlflowClient(tracking_uri=uri), runs_of(uri)["round 0"]
    client.delete_tag(child.info.run_id, "result_digest")
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    again = runs_of(uri)["round 0"]
    assert "result_digest" in again.data.tags
    assert len(curve(uri, again, "3 training/loss")) == 150
    assert len(curve(uri, runs_of(uri)["campaign"], FORCE_MAE)) == 1


def test_killed_between_creating_a_run_and_noting_it(first_round_only: Path, uri: str, campaign_config):
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    record = json.loads((first_round_only / "tracking.json").read_text())
    (first_round_only / "tracking.json").write_text(json.dumps({"campaign_id": record["campaign_id"]}))
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    assert json.loads((first_round_only / "tracking.json").read_text()) == record
    assert set(runs_of(uri)) == {"campaign", "round 0"}


def test_a_campaign_begun_anew_under_the_old_name_gets_its_own_runs(
    first_round_only: Path, campaign_config, uri: str
):
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    (first_round_only / "tracking.json").unlink()
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("ethanol")
    campaigns = client.search_runs([experiment.experiment_id], "tags.campaign_part = 'campaign'")
    assert len({run.data.tags["campaign_id"] for run in campaigns}) == len(campaigns) == 2


def test_status_and_a_changed_setting(first_round_only: Path, uri: str, campaign_config):
    tracker = Tracker(CampaignFolder.open(first_round_only))
    tracker.log_start()
    assert runs_of(uri)["campaign"].info.status == "RUNNING"
    tracker.log_stop("KILLED")
    assert runs_of(uri)["campaign"].info.status == "KILLED"
    longer = campaign_config.model_copy(update={"rounds": 5})
    Tracker(CampaignFolder(first_round_only, longer)).log_start()
    parent = runs_of(uri)["campaign"]
    assert parent.info.status == "RUNNING"
    assert parent.data.params["rounds"] == "3"
    assert parent.data.tags["changed.rounds"] == "3 -> 5"


def test_a_moved_campaign_is_logged_anew_where_it_is(first_round_only: Path, uri: str, capsys):
    """MLflow keeps absolute paths of artifacts: it would make the old folder anew."""
    Tracker(CampaignFolder.open(first_round_only)).log_start()
    old = first_round_only.parent
    new = old.rename(old.with_name("50% of #1 (Å)"))
    for _ in range(2):
        Tracker(CampaignFolder.open(new / first_round_only.name)).log_start()
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("is not there any more: it is logged anew") == 1
    assert "warning" not in said
    assert not old.exists()
    moved = default_tracking_uri(new)
    client = MlflowClient(tracking_uri=moved)
    assert {e.name for e in client.search_experiments()} == {
        "Default",
        "ethanol",
        "ethanol (moved, experiment 1)",
    }
    run = runs_of(moved)["campaign"]
    assert Path(client.download_artifacts(run.info.run_id, "figures/learning_curve.svg")).exists()
    assert run.info.artifact_uri.startswith(f"{new.as_uri()}/mlruns/ethanol/")
    assert [step for step, _ in curve(moved, run, FORCE_MAE)] == [20]
    assert (
        learning_curve_address(CampaignFolder.open(new / first_round_only.name), "http://x")
        .split("/runs/")[0]
        .endswith("/2")
    )


def test_a_question_mark_in_the_folder_is_told(first_round_only: Path, uri: str, capsys):
    """SQLAlchemy would cut the path there and write a database beside the folder."""
    odd = first_round_only.parent.rename(first_round_only.parent.with_name("done?"))
    tracker = Tracker(CampaignFolder.open(odd / first_round_only.name))
    tracker.log_start()
    assert tracker.warned
    said = " ".join(capsys.readouterr().out.split())
    assert "cannot be in a folder with `?` in its name: rename it, or set MLFLOW_TRACKING_URI" in said
    assert not odd.with_name("done").exists()
    assert "cannot be in a folder with `?`" in str(mlflow_problem(default_tracking_uri(odd)))
    assert (
        mlflow_problem(f"{uri}?timeout=30")
        == f"nothing was logged, there is no {uri.removeprefix('sqlite:///')}"
    )
