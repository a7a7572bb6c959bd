"""A whole campaign on the Lennard-Jones labeler: what it leaves behind, and what a second run does."""

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest

from flows.cli.app import run_command
from flows.errors import CampaignError, StageChangedError
from flows.record.folder import CampaignFolder
from flows.settings.yaml_file import load_config
from flows.views.label_costs import label_outcomes
from flows.views.summary import measured, round_table
from labeling.store import LabelStore
from potential.calculator import Potential
from potential.data.dataset import Dataset
from potential.data.structure_files import read_frames, write_frames
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.metrics import FORCE_MAE
from potential.package import load_potential
from tests.support.lj_campaign import change, copy_of, squeezed, told

Writer = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("prefect_url", "one_mlflow_store")


@pytest.fixture(scope="module")
def finished(whole_campaign: Path) -> CampaignFolder:
    return CampaignFolder.open(whole_campaign / "campaigns" / "lj")


def label_ids(folder: CampaignFolder) -> set[str]:
    return {item.frame.id for item in LabelStore(folder.label_store)}


def test_every_stage_of_every_round_is_there(finished: CampaignFolder):
    stages = {
        path.parent.relative_to(finished.path).as_posix() for path in finished.path.rglob("manifest.json")
    }
    measured = ("train", "evaluate", "evaluate_broad", "calibrate", "choose")
    first = (*measured, "explore", "select", "label", "arrived")
    rounds = {f"rounds/00/{stage}" for stage in first}
    rounds |= {f"rounds/01/{stage}" for stage in measured}
    whole = {"frames", "labels", "frames_broad", "labels_broad", "potential"}
    assert stages == whole | rounds
    assert not list(finished.path.rglob("started.json"))
    assert not list(finished.path.rglob("checkpoint*"))
    assert finished.report.exists()


def test_the_results_agree_with_the_tables(finished: CampaignFolder):
    first, last = finished.results()
    outcomes = pd.read_csv(finished.round(0).label / "outcomes.csv")
    selection = pd.read_csv(finished.round(0).select / "selection.csv")
    assert first.n_labels == first.training.n_train + first.training.n_validation == 5
    assert first.selection is not None
    assert first.labels is not None
    assert first.selection.n_selected == len(outcomes) == (selection["decision"] == "selected").sum() > 0
    assert first.labels.n_labelled == (outcomes["outcome"] == "labelled").sum()
    assert last.n_labels == 5 + first.labels.n_labelled
    assert last.ledger is None
    assert first.ledger is not None
    assert first.ledger.total == len(pd.read_csv(finished.round(0).explore / "ledger.csv"))
    atoms = pd.read_csv(finished.round(1).evaluate / "test_atoms.csv")
    error = atoms[["fx", "fy", "fz"]].to_numpy() - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy()
    assert last.test.force_mae == pytest.approx(np.abs(error).mean())
    assert len(label_ids(finished)) == 4 + 3 + 5 + first.labels.n_labelled


def test_new_labels_are_scored_before_they_are_learned_and_then_calibrate(finished: CampaignFolder):
    first, last = finished.results()
    arrived = pd.read_csv(finished.round(0).arrived / "atoms.csv")
    outcomes = pd.read_csv(finished.round(0).label / "outcomes.csv")
    labelled = set(outcomes.loc[outcomes["outcome"] == "labelled", "frame_id"].astype(str))
    assert set(arrived["frame_id"].astype(str)) == labelled
    error = arrived[["fx", "fy", "fz"]].to_numpy() - arrived[["fx_ref", "fy_ref", "fz_ref"]].to_numpy()
    assert first.arrived.errors.force_mae == pytest.approx(np.abs(error).mean())
    committee = Evaluator(load_potential(finished.round(0).potential))  # which has not seen them
    store = LabelStore(finished.label_store)
    items = [item for item in store if item.frame.id in labelled]
    assert evaluate(committee, Dataset.of(items)).force_mae == pytest.approx(first.arrived.errors.force_mae)
    # none of five labels is held out, so the first calibration is that of the second round
    assert first.calibration.calibration is None
    assert first.arrived.scores is None
    assert last.calibration.n_arrived == len(labelled)
    assert last.calibration.calibration.n_atoms >= len(arrived)
    scores = last.calibration.scores["test"]
    assert scores.n_atoms == 4 * 7
    assert scores.mae == pytest.approx(last.test.force_mae)
    calibration, atoms = finished.round(1).calibration(), pd.read_csv(finished.round(1).test_atoms)
    expected = calibration.expected_error(atoms["force_disagreement"].to_numpy(), list(atoms["symbol"]))
    assert scores.coverage[1] == (atoms["force_error"] <= calibration.ratio(0.9) * expected).mean()


def test_the_test_set_is_frozen_and_never_trained_on(finished: CampaignFolder):
    test = {frame.id for frame in read_frames(finished.frames / "test.extxyz")}
    trained = {frame.id for frame in read_frames(finished.frames / "initial.extxyz")}
    selected = {frame.id for frame in read_frames(finished.round(0).select / "selected.extxyz")}
    assert len(test) == 4
    assert not test & (trained | selected)
    first, last = finished.results()
    assert first.evaluation.fingerprint == last.evaluation.fingerprint


def test_the_broad_test_is_frozen_too_and_farther_out(finished: CampaignFolder):
    broad = {frame.id for frame in read_frames(finished.broad_frames / "broad.extxyz")}
    trained = {frame.id for frame in read_frames(finished.frames / "initial.extxyz")}
    test = {frame.id for frame in read_frames(finished.frames / "test.extxyz")}
    assert len(broad) == 3
    assert not broad & (trained | test)
    first, last = finished.results()
    assert first.broad.fingerprint == last.broad.fingerprint != last.evaluation.fingerprint
    atoms = pd.read_csv(finished.round(1).evaluate_broad / "test_atoms.csv")
    error = atoms[["fx", "fy", "fz"]].to_numpy() - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy()
    assert last.broad.test.force_mae == pytest.approx(np.abs(error).mean())
    assert set(last.broad.more) == {"energy_mae_without_offset", "worst_force_error"}
    assert set(last.calibration.scores) == {"test", "broad"}
    assert last.calibration.scores["broad"].mae == pytest.approx(last.broad.test.force_mae)
    table = round_table(finished.results())
    assert table[1]["broad force MAE (meV/Å)"] == measured(last.broad, FORCE_MAE)
    outcomes = [where for where, _, _ in label_outcomes(finished)]
    assert "broad test" in outcomes


def test_the_potential_is_the_champion_with_its_card(finished: CampaignFolder):
    results = finished.results()
    best = results[-1]  # with one held-out label nothing is told apart
    assert [result.champion.round for result in results] == [0, 1]
    assert "1 held-out labels are too few to compare it on" in best.champion.said
    card = json.loads((finished.potential / "model_card.json").read_text())
    assert card["test errors"]["force MAE, meV/Å"] == pytest.approx(1000 * best.test.force_mae)
    low, high = card["95 % intervals of the test errors"]["force MAE, meV/Å"]
    assert low <= 1000 * best.test.force_mae <= high
    assert card["data"]["fingerprint"] == best.training.fingerprint
    assert card["domain"]["temperatures of the exploration, K"] == [15.0, 30.0]
    assert card["reference"]["labeler"] == "lennard_jones"
    assert card["backend"] == "compiled blocks"
    atoms = ase.io.read(finished.frames / "test.extxyz", index=0)
    atoms.calc = Potential.load(finished.potential)
    table = pd.read_csv(finished.round(best.round).evaluate / "test_frames.csv")
    assert atoms.get_potential_energy() == pytest.approx(table["energy"][0], abs=1e-4)
    assert atoms.calc.results["force_disagreement"].shape == (7,)


def test_prefect_shows_runs_that_a_person_recognises(finished: CampaignFolder, whole_campaign: Path):
    tasks = [task for step in told(whole_campaign).steps for task in step.tasks]
    names = {task.name for task in tasks}
    assert {
        "make initial and test frames",
        "train round 0",
        "evaluate round 1",
        "explore round 0",
    } <= names
    labels = [task for task in tasks if task.name.startswith("label Ar7 ")]
    assert len(labels) == len(label_ids(finished)) + 1
    assert [task.state for task in labels].count("No label") == 1
    assert not any(task.tags for task in labels)  # for each the server would be asked for a slot


@pytest.mark.slow
def test_more_rounds_go_on_from_what_is_there(finished: CampaignFolder, whole_campaign: Path, tmp_path: Path):
    """In test_old_campaign.py a campaign of an older version does so, too."""
    from flows.campaign.loop import run_campaign

    path = copy_of(whole_campaign, tmp_path)
    # how labels are computed may change, too
    change(path, rounds=2, labeling={"workers": 1, "timeout_s": 100.0})
    folder = CampaignFolder.open(path)
    made = [path for path in folder.path.glob("rounds/*/*/*") if path.parent.name != "figures"]
    before = {path: path.stat().st_mtime_ns for path in made}
    labelled = label_ids(folder)
    run_campaign(path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    results = folder.results()
    assert [result.round for result in results] == [0, 1, 2]
    assert results[0] == finished.results()[0]
    assert label_ids(folder) - labelled == {
        frame.id for frame in read_frames(folder.round(1).select / "selected.extxyz")
    }


@pytest.mark.slow
def test_two_arms_share_start_and_store_and_keep_their_rounds_apart(
    whole_campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """An arm may be added to a finished campaign; what is there is not touched."""
    from flows.campaign.loop import run_campaign

    path = copy_of(whole_campaign, tmp_path)
    change(path, arms={"wary": {"frames_per_round": 2}})
    folder = CampaignFolder.open(path)
    before = {path: path.stat().st_mtime_ns for path in folder.path.glob("rounds/*/*/*")}
    run_campaign(path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    active, wary = folder.arms
    assert not (wary.rounds / "00" / "train").exists()
    mine, theirs = active.results(), wary.results()
    assert [result.arm for result in theirs] == ["wary", "wary"]
    assert theirs[0].training == mine[0].training
    assert theirs[0].evaluation == mine[0].evaluation
    assert theirs[0].selection is not None
    assert theirs[0].selection.n_selected == 2
    assert theirs[1].n_labels == 7
    assert mine[1].n_labels > theirs[1].n_labels
    picked = {
        frame.id for arm in folder.arms for frame in read_frames(arm.round(0).select / "selected.extxyz")
    }
    initial = {
        frame.id for name in ("initial", "test") for frame in read_frames(folder.frames / f"{name}.extxyz")
    }
    initial |= {frame.id for frame in read_frames(folder.broad_frames / "broad.extxyz")}
    assert label_ids(folder) <= picked | initial
    assert json.loads((folder.potential / "model_card.json").read_text())["data"]["labels"] in (
        5,
        mine[1].n_labels,
    )
    assert "Arm wary" in folder.report.read_text()
    capsys.readouterr()
    assert run_command(["status", str(folder.path)]) == 0
    assert "arm wary" in capsys.readouterr().out


def test_a_changed_setting_is_refused(whole_campaign: Path, tmp_path: Path):
    from flows.campaign.loop import run_campaign

    path = copy_of(whole_campaign, tmp_path)
    change(path, seed=5)
    with pytest.raises(StageChangedError, match="seed: was 1, is now 5"):
        run_campaign(path)


def test_a_label_that_fails_is_recorded_with_its_reason(finished: CampaignFolder):
    outcomes = pd.read_csv(finished.first_labels / "outcomes.csv")
    failed = outcomes[outcomes["outcome"] == "failed"].iloc[0]
    bad = next(f for f in read_frames(finished.frames / "initial.extxyz") if f.origin.get("squeezed"))
    assert failed["frame_id"] == bad.id
    assert failed["kind"] == "rejected_by_check"
    assert "max_force" in failed["message"]
    failure = LabelStore(finished.label_store).failure(bad.id, finished.config.level.key)
    assert failure is not None
    assert failure.message == failed["message"]


def test_too_few_labels_stop_the_campaign_with_the_reason(
    tmp_path: Path, write_lj_campaign: Writer, capsys: pytest.CaptureFixture[str]
):
    from flows.campaign.loop import run_campaign

    good = load_config(write_lj_campaign(tmp_path)).structure.frames()[0]
    write_frames(tmp_path / "bad.extxyz", [squeezed(good, 1.55 + 0.005 * i) for i in range(10)])
    source = {"method": "file", "path": "bad.extxyz"}
    path = write_lj_campaign(
        tmp_path, initial={"frames": 6, "source": source}, test={"frames": 4, "source": source}
    )
    with pytest.raises(CampaignError, match="0 of 6 initial and 0 of 4 test frames"):
        run_campaign(path)
    assert "rejected_by_check. The numbers are not those of a sound label" in capsys.readouterr().out
    assert LabelStore(CampaignFolder.open(path).label_store).counts() == {"rejected_by_check": 10}
