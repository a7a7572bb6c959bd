"""A campaign that has converged, or spent its budget, says so and spends nothing more."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from flows.campaign.stopping import judge, labels_affordable
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.results import ExplorationSummary, LedgerCounts, RoundResult
from flows.settings.stop_config import StopConfig
from flows.views.summary import verdict
from labeling.store import LabelStore
from potential.data.tables import read_table

Writer = Callable[..., Path]
SURVIVAL = {"replicas": 2, "temperatures_K": [20.0], "n_steps": 20}


def changed(path: Path, **stop: object) -> Path:
    """The same file with other conditions to stop."""
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"stop": stop}, sort_keys=False))
    return path


@pytest.mark.usefixtures("prefect_url", "one_mlflow_store")
@pytest.mark.slow
def test_converged_it_ends_and_goes_on_under_a_budget(tmp_path: Path, write_lj_campaign: Writer):
    from flows.campaign.loop import run_campaign

    path = write_lj_campaign(tmp_path, rounds=5, survival=SURVIVAL)
    content = yaml.safe_load(path.read_text())
    content["exploration"] |= {"restart_share": 0.5, "bias": {"strength": 0.1}}
    content["selection"] = {"frames_per_round": 2}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    folder = run_campaign(changed(path, candidate_share=1.0))
    (only,) = folder.results()
    assert only.stop.ended.startswith("converged: candidates")
    assert only.exploration is not None
    assert only.selection is None
    assert ending(folder).startswith("round 0: converged")
    assert len(LabelStore(folder.label_store)) == 4 + 6

    folder = run_campaign(changed(path, max_labels=9))  # and it goes on
    assert [r.n_labels for r in folder.results()] == [6, 8, 9]
    assert [r.selection.n_selected for r in folder.results()[:2]] == [2, 1]
    last = folder.results()[-1]
    assert (last.exploration, last.labels) == (None, None)
    assert last.stop.ended == "the budget of 9 labels is spent"
    assert ending(folder) == "round 2: the budget of 9 labels is spent"
    assert "It has ended, the budget of 9 labels is spent." in verdict(folder.results())
    assert len(LabelStore(folder.label_store)) == 4 + 9
    _the_dynamics_are_as_asked_for(folder)


def _the_dynamics_are_as_asked_for(folder: CampaignFolder) -> None:
    """Round 1 starts some replicas from frames of round 0; survival has the same starts in all rounds."""
    explored = read_table(folder.round(0).explore / "ledger.csv")
    starts = read_table(folder.round(1).explore / "replicas.csv")["start_frame_id"]
    n = round(0.5 * folder.config.exploration.n_replicas)
    labelled = set(pd.read_csv(folder.first_labels / "outcomes.csv", dtype=str)["frame_id"])
    again = [start for start in starts[:n] if start not in labelled]
    assert again
    assert set(again) <= set(explored["frame_id"])
    tried = [read_table(folder.round(k).survive / "replicas.csv") for k in range(3)]
    assert tried[0]["start_frame_id"].tolist() == tried[2]["start_frame_id"].tolist()
    for result, table in zip(folder.results(), tried, strict=True):
        (cold,) = result.survival.at
        assert (cold.temperature_K, cold.replicas) == (20.0, 2)
        assert cold.survived == table["survived"].sum()
        assert cold.mean_time_fs == table["time_fs"].mean()


def result_with(folder: CampaignFolder, number: int, **changes: object) -> RoundResult:
    return folder.results()[number].model_copy(update=changes)


def with_stop(folder: Path, **stop: object) -> CampaignFolder:
    changed(folder / "campaign.yaml", **stop)
    return CampaignFolder.open(folder)


def test_all_conditions_must_hold(finished_campaign: Path):
    folder = with_stop(finished_campaign, force_error_meV_per_A=200.0, candidate_share=0.4, survival=0.9)
    explored = ExplorationSummary(
        ledger=LedgerCounts(accurate=60, candidate=40, failed=0),
        surviving_replicas=0.9,
        seconds=1.0,
        expected_error=0.4,
    )
    last = result_with(folder, 3, exploration=explored)
    found = judge(folder, folder.round(3), [*folder.results()[:3], last])
    # 400 meV/Å of mean length are 200 of a mean component
    assert [c.holds for c in found.conditions] == [True, True, True, True]
    assert found.ended.startswith("converged: test force MAE")
    for worse in (
        {"expected_error": 0.41},
        {"expected_error": None},
        {"surviving_replicas": 0.89},
        {"ledger": LedgerCounts(accurate=59, candidate=41, failed=0)},
    ):
        less = result_with(folder, 3, exploration=explored.model_copy(update=worse))
        assert judge(folder, folder.round(3), [*folder.results()[:3], less]).ended is None


def test_a_flat_curve_needs_certainty(finished_campaign: Path):
    folder = with_stop(finished_campaign, flat_gain=0.05)
    for number, errors in ((2, [0.10, 0.12, 0.20]), (3, [0.099, 0.119, 0.198])):
        table = pd.DataFrame({"frame_id": ["1e5", "b", "c"], "n_atoms": 9, "force_mae": errors})
        table.to_csv(folder.round(number).evaluate / "test_frames.csv", index=False)
    found = judge(folder, folder.round(3), folder.results())
    assert found.gain == pytest.approx(1 - 0.416 / 0.420, abs=1e-6)
    assert found.fall is None  # round 0 was tested on other frames
    assert found.ended.startswith("converged: gain of the last round")
    table["force_mae"] = [0.05, 0.119, 0.25]  # one much better, one worse: who knows
    table.to_csv(folder.round(3).evaluate / "test_frames.csv", index=False)
    found = judge(folder, folder.round(3), folder.results())
    assert found.gain_low < 0 < 0.05 < found.gain_high
    assert found.ended is None


def test_hours_and_money(finished_campaign: Path):
    results = CampaignFolder.open(finished_campaign).results()
    start = 40 * 5.8
    spent = (start + sum(r.seconds for r in results)) / 3600
    folder = with_stop(finished_campaign, max_hours=1.0)
    found = judge(folder, folder.round(3), results)
    assert found.hours == pytest.approx(spent)
    tried = 40 + sum(r.labels.n_labelled + r.labels.n_failed for r in results[:3])
    each = (start + sum(r.labels.seconds for r in results[:3])) / tried
    assert labels_affordable(folder, results) == int(3600 * (1.0 - spent) / each)
    folder = with_stop(finished_campaign, max_cost=2.0, price_per_hour=2 / (spent + 1e-6))
    found = judge(folder, folder.round(3), results)
    assert labels_affordable(folder, results) == 0
    assert "leaves no label to pay" in found.ended
    assert found.cost == pytest.approx(2.0, rel=1e-4)
    with pytest.raises(ValueError, match=r"write e\.g\. price_per_hour: 0\.05"):
        StopConfig(max_cost=3.0)


def test_the_verdict_says_what_is_open_and_what_to_do(finished_campaign: Path):
    folder = with_stop(finished_campaign, force_error_meV_per_A=10.0, candidate_share=0.5)
    results = folder.results()
    results[3] = results[3].model_copy(update={"stop": judge(folder, folder.round(3), results)})
    said = verdict(results)
    assert "To stop, not yet: test force MAE" in said
    assert "candidates not measured, wanted ≤ 50 %" in said
    assert "it reaches 10 meV/Å at about" in said
