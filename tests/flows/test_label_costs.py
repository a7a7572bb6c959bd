"""What labels cost: every second of every label stage, once, in the stage that spent it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flows.cli.app import run_command
from flows.record.folder import CampaignFolder
from flows.settings.campaign_config import CampaignConfig
from flows.views.label_costs import cost_table, label_costs
from labeling.cost import stage_seconds, with_seconds


def test_stages_add_up_to_the_whole() -> None:
    made = with_seconds({"scf_seconds": 4.0, "gradient_seconds": 1.0, "seconds": 5.5}, "second_guess", 6.0)
    made = with_seconds(made, "failed_attempts", 3.0)
    found = stage_seconds(made)
    assert made["seconds"] == sum(found.values()) == 14.5
    assert found == {
        "scf": 4.0,
        "gradient": 1.0,
        "stress": 0.0,
        "stability": 0.0,
        "second_guess": 6.0,
        "failed_attempts": 3.0,
        "other": 0.5,
    }
    assert sum(stage_seconds({}).values()) == 0.0


def test_costs_are_cumulated_over_all_label_stages(finished_campaign: Path) -> None:
    costs = label_costs(CampaignFolder.open(finished_campaign))
    assert list(costs["where"]) == ["initial and test", "round 0", "round 1", "round 2"]
    assert list(costs["labels"]) == [40, 8, 8, 8]
    assert list(costs["scf"]) == pytest.approx([40 * 4.2, *[8 * 4.2] * 3])
    assert list(costs["failures"]) == [0, 0, 41.0, 0]
    assert costs["cumulated"].iloc[-1] == pytest.approx(64 * 5.8 + 41)
    (row, *_) = cost_table(costs)
    assert row == {
        "labels of": "initial and test",
        "labels": "40",
        "SCF": "2 min 48 s",
        "gradient": "1 min 04 s",
        "failures": "0.0 s",
        "total": "3 min 52 s",
        "cumulated": "3 min 52 s",
    }


def test_outcomes_without_stages_count_with_their_total(finished_campaign: Path) -> None:
    path = finished_campaign / "labels" / "outcomes.csv"
    old = pd.read_csv(path)[["frame_id", "outcome", "seconds", "kind", "message", "advice"]]
    old.to_csv(path, index=False)
    costs = label_costs(CampaignFolder.open(finished_campaign))
    assert costs["other"].iloc[0] == costs["total"].iloc[0] == pytest.approx(40 * 5.8)


def test_no_labels_no_costs(tmp_path: Path, campaign_config: CampaignConfig) -> None:
    assert cost_table(label_costs(CampaignFolder(tmp_path, campaign_config))) == []


def test_status_shows_them(finished_campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["status", str(finished_campaign)]) == 0
    told = capsys.readouterr().out
    assert "6 min 52 s" in told  # 64 labels of 5.8 s and a failure of 41 s
    assert "gradient" in told


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_url", "one_mlflow_store")
def test_a_real_campaign_has_its_stages_in_its_outcomes(
    tmp_path: Path, write_lj_campaign: Callable[..., Path]
) -> None:
    from flows.campaign.loop import run_campaign

    folder = run_campaign(write_lj_campaign(tmp_path))
    costs = label_costs(folder)
    assert list(costs["where"]) == ["initial and test", "round 0"]
    assert (costs["other"] > 0).all()
    assert costs["total"].sum() == pytest.approx(costs["other"].sum() + costs["failures"].sum())
