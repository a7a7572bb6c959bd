"""`alnico compare`: a figure, a table and one chart in MLflow of several campaigns."""

import json
import shutil
from pathlib import Path
from urllib.parse import parse_qs, unquote

import numpy as np
import pytest

from flows.cli.app import run_command
from flows.record.folder import CampaignFolder
from flows.tracking.mlflow_metrics import FORCE_MAE
from flows.views.comparison import arms_of, comparison

Said = pytest.CaptureFixture[str]


def logged(folder: Path, run_ids: dict[str, str], experiment: str) -> None:
    folder.joinpath("tracking.json").write_text(
        json.dumps({"campaign_id": "c", "experiment_id": experiment, "run_ids": run_ids})
    )


def test_campaigns_and_their_arms_are_in_one_figure_and_one_chart(
    finished_campaign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    other = finished_campaign.parent / "other"
    shutil.copytree(finished_campaign, other)
    shutil.rmtree(other / "rounds" / "03")
    config = (other / "campaign.yaml").read_text().replace("name: ethanol", "name: other")
    config = config.replace("arms: {}", "arms:\n  random: {strategy: random}")
    (other / "campaign.yaml").write_text(config)
    shutil.copytree(other / "rounds", other / "arms" / "random" / "rounds")
    logged(finished_campaign, {"campaign": "r1", "round 0": "x"}, "1")
    logged(other, {"campaign": "r2", "arm random": "r3", "random, round 0": "y"}, "2")
    figure = tmp_path / "curves.svg"
    assert run_command(["compare", str(finished_campaign), str(other), "--output", str(figure)]) == 0
    said = capsys.readouterr().out
    assert figure.read_text().startswith("<?xml")
    assert [line.partition(":")[0] for line in said.splitlines()[:3]] == ["ethanol", "other", "other, random"]
    (link,) = [line.split()[1] for line in said.splitlines() if line.startswith("MLflow")]
    server, _, query = link.partition("/#/metric?")
    assert server == "http://127.0.0.1:5000"
    asked = {key: unquote(value[0]) for key, value in parse_qs(query).items()}
    assert json.loads(asked["runs"]) == ["r1", "r2", "r3"]
    assert json.loads(asked["experiments"]) == ["1", "2"]
    assert json.loads(asked["metric"]) == FORCE_MAE
    assert json.loads(asked["plot_metric_keys"]) == [FORCE_MAE]
    assert asked["x_axis"] == "step"


def test_the_curve_is_the_test_error_over_the_labels(finished_campaign: Path) -> None:
    arms = arms_of([CampaignFolder.open(finished_campaign)])
    (axes,) = comparison(arms).axes
    curve, *bars = axes.get_lines()
    results = arms["ethanol"].results()
    assert np.asarray(curve.get_xdata()).tolist() == [r.n_labels for r in results]
    assert np.asarray(curve.get_ydata()).tolist() == [1000 * r.test.force_mae for r in results]
    for bar, result in zip(bars, results, strict=True):
        low, high = np.asarray(bar.get_ydata(), dtype=float)
        assert low < 1000 * result.test.force_mae < high


def test_what_cannot_be_compared_is_said(first_round_only: Path, tmp_path: Path, capsys: Said) -> None:
    assert run_command(["compare", str(first_round_only), "--output", "curves.docx"]) == 2
    assert "--output curves.docx" in capsys.readouterr().err
    shutil.rmtree(first_round_only / "rounds")
    assert run_command(["compare", str(first_round_only), "--output", str(tmp_path / "a.png")]) == 1
    assert "no round is finished yet" in capsys.readouterr().err
