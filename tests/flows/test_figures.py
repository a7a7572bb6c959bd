"""The figures show the numbers they were given, and survive what a broken round hands them."""

import shutil
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.results import LedgerCounts, RoundResult
from flows.views.campaign_figures import campaign_figures, learning_curve, ledger
from flows.views.round_figures import (
    disagreement_and_error,
    force_parity,
    md_survival,
    reliability,
    round_figures,
    training_history,
)


def drawn(figure: Figure) -> Figure:
    figure.canvas.draw()
    return figure


def lines(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in figure.axes[panel].get_lines()}


def with_force_mae(result: RoundResult, force_mae: float) -> RoundResult:
    test = result.test.model_copy(update={"force_mae": force_mae})
    return result.model_copy(update={"evaluation": result.evaluation.model_copy(update={"test": test})})


def test_learning_curve_shows_errors_against_labels(finished_campaign: Path):
    results = CampaignFolder.open(finished_campaign).results()
    figure = drawn(learning_curve(results))
    expected = [(r.n_labels, 1000 * r.test.force_mae) for r in results]
    assert np.allclose(lines(figure)["MAE"], expected)
    assert np.allclose(lines(figure, 1)["RMSE"][:, 1], [1000 * r.test.energy_rmse for r in results])
    assert figure.axes[0].get_ylabel() == "test force error (meV/Å)"
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["20", "28", "36", "44"]


def test_wide_learning_curves_are_logarithmic(finished_campaign: Path):
    results = [
        with_force_mae(r, 1.0 / n).model_copy(update={"n_labels": n})
        for r, n in zip(CampaignFolder.open(finished_campaign).results(), (10, 100, 1000, 10000), strict=True)
    ]
    axes = drawn(learning_curve(results)).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_the_arms_stand_beside_one_another(finished_campaign: Path):
    results = CampaignFolder.open(finished_campaign).results()
    others = {"random": [with_force_mae(r, 2 * r.test.force_mae) for r in results]}
    figure = drawn(learning_curve(results, others))
    expected = [(r.n_labels, 2000 * r.test.force_mae) for r in results]
    assert np.allclose(lines(figure)["MAE, random"], expected)
    assert lines(figure).keys() == {"MAE", "RMSE", "MAE, random"}


def test_parity_says_the_mae_of_its_points(finished_campaign: Path):
    result = CampaignFolder.open(finished_campaign).results()[0]
    table = pd.read_csv(finished_campaign / "rounds/00/evaluate/test_atoms.csv")
    figure = drawn(force_parity(table))
    assert f"MAE {1000 * result.test.force_mae:.1f} meV/Å" in figure.axes[0].texts[0].get_text()
    assert {"C", "O", "H"} <= set(lines(figure))
    assert sum(len(lines(figure)[symbol]) for symbol in "COH") == 3 * len(table)


@pytest.mark.parametrize("repeats", [1, 30])
def test_disagreement_and_error_says_spearman(finished_campaign: Path, repeats: int):
    result = CampaignFolder.open(finished_campaign).results()[0]
    table = pd.read_csv(finished_campaign / "rounds/00/evaluate/test_atoms.csv")
    figure = drawn(disagreement_and_error(pd.concat([table] * repeats)))
    assert figure.axes[0].texts[0].get_text() == f"Spearman {result.uncertainty.spearman:.2f}"
    assert bool(figure.axes[0].collections) == (repeats == 30)  # density where there are many points


def test_a_single_member_has_no_disagreement_to_draw(finished_campaign: Path):
    table = pd.read_csv(finished_campaign / "rounds/00/evaluate/test_atoms.csv").assign(
        force_disagreement=0.0
    )
    figure = drawn(disagreement_and_error(table))
    assert "no finite" in figure.axes[0].texts[0].get_text()


def test_reliability_of_errors_twice_as_large_as_expected(finished_campaign: Path):
    here = CampaignFolder.open(finished_campaign).round(0)
    atoms = pd.read_csv(here.test_atoms)
    for axis in "xyz":
        atoms[f"f{axis}"] = atoms[f"f{axis}_ref"] + 2 * (atoms[f"f{axis}"] - atoms[f"f{axis}_ref"])
    figure = reliability(here.calibration(), {"test": atoms})
    bins, diagonal = figure.axes[0].get_lines()
    assert np.shape(bins.get_xdata()) == (10,)
    ratios = np.asarray(bins.get_ydata()) / np.asarray(bins.get_xdata())
    assert np.sqrt((ratios**2).mean()) == pytest.approx(2.0, rel=0.1)
    assert bins.get_label() == "frozen test"
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_ledger_bars_add_up(finished_campaign: Path):
    figure = drawn(ledger(CampaignFolder.open(finished_campaign).results()))
    heights = np.array([[bar.get_height() for bar in bars] for bars in figure.axes[0].containers])
    assert heights.shape == (3, 3)  # verdicts, rounds that explored
    assert np.allclose(heights.sum(axis=0), 100)
    assert np.isclose(heights[0, 0], 30)


def test_an_exploration_without_records(finished_campaign: Path):
    empty = LedgerCounts(accurate=0, candidate=0, failed=0)
    results = [
        r.model_copy(update={"exploration": r.exploration.model_copy(update={"ledger": empty})})
        for r in CampaignFolder.open(finished_campaign).results()
        if r.exploration is not None
    ]
    drawn(ledger(results))


def test_md_survival_marks_the_replicas_that_stopped(finished_campaign: Path):
    table = pd.read_csv(finished_campaign / "rounds/00/explore/replicas.csv")
    survival, temperature = drawn(md_survival(table)).axes
    assert [text.get_text().strip() for text in survival.texts] == ["too close"] * 3
    assert sum(len(bars) for bars in survival.containers) == len(table)
    assert temperature.get_xlabel() == "temperature (K)"


def test_training_history_without_validation(finished_campaign: Path):
    table = pd.read_csv(finished_campaign / "rounds/00/train/history.csv")
    assert set(lines(drawn(training_history(table)), 1)) == {"training", "validation"}
    table["validation_force_mae"] = np.nan
    assert len(lines(drawn(training_history(table)), 1)) == 1


def test_figures_by_name(finished_campaign: Path):
    campaign = CampaignFolder.open(finished_campaign)
    assert list(campaign_figures(campaign)) == ["learning_curve", "ledger", "cost"]
    explored = set(round_figures(campaign.round(2)))
    of_the_test = {"force_parity", "energy_parity", "disagreement_and_error", "reliability"}
    assert explored == of_the_test | {"training_history", "md_survival"}
    assert explored - set(round_figures(campaign.round(3))) == {"md_survival"}
    assert round_figures(campaign.round(9)) == {}
    shutil.rmtree(finished_campaign / "rounds")
    assert campaign_figures(campaign) == {}


def test_no_figure_is_left_in_pyplot(finished_campaign: Path):
    for figure in campaign_figures(CampaignFolder.open(finished_campaign)).values():
        drawn(figure)
    assert matplotlib.pyplot.get_fignums() == []
