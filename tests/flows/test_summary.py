"""The round table and the verdict follow from the numbers."""

from pathlib import Path

import pytest

from flows.record.results import (
    RESULT_FILE,
    ErrorMetrics,
    LedgerCounts,
    RoundResult,
    UncertaintyMetrics,
    read_results,
)
from flows.views.summary import best_round, duration, markdown_table, round_table, verdict


def result(number: int, force_mae: float, **changes) -> RoundResult:
    values = {
        "round": number,
        "n_labels": 20 + 8 * number,
        "n_train": 18 + 8 * number,
        "n_validation": 2,
        "test": ErrorMetrics(
            n_frames=20, energy_mae=0.004, energy_rmse=0.005, force_mae=force_mae, force_rmse=1.4 * force_mae
        ),
        "uncertainty": UncertaintyMetrics(
            mean_force_disagreement=0.05, max_force_disagreement=0.4, spearman=0.61
        ),
        "epochs": 100,
        "train_seconds": 61.0,
    }
    return RoundResult(**(values | changes))


def test_results_are_read_in_round_order(tmp_path: Path):
    for number in (10, 2, 0):
        folder = tmp_path / "rounds" / f"{number:02d}"
        folder.mkdir(parents=True)
        (folder / RESULT_FILE).write_text(result(number, 0.1).model_dump_json())
    (tmp_path / "rounds" / "11").mkdir()
    assert [r.round for r in read_results(tmp_path)] == [0, 2, 10]


def test_a_damaged_result_is_named(tmp_path: Path):
    (tmp_path / "rounds" / "00").mkdir(parents=True)
    (tmp_path / "rounds" / "00" / RESULT_FILE).write_text('{"round": 0')
    with pytest.raises(ValueError, match=r"(?s)00/result\.json.*delete it"):
        read_results(tmp_path)


def test_no_results_before_the_first_round(tmp_path: Path):
    assert read_results(tmp_path) == []
    assert verdict([]) == "No round is finished yet."
    assert markdown_table(round_table([])) == ""


def test_round_table_shows_chemists_units_and_dashes_for_what_did_not_run():
    explored = result(0, 0.2, ledger=LedgerCounts(accurate=30, candidate=15, failed=5), n_label_failures=1)
    rows = round_table([explored, result(1, 0.1)])
    assert rows[0]["force MAE (meV/Å)"] == "200.0"
    assert rows[0]["accurate / candidate / failed"] == "60% / 30% / 10%"
    assert rows[0]["label failures"] == "1"
    assert rows[1]["accurate / candidate / failed"] == rows[1]["labelling"] == "–"
    header, rule, *body = markdown_table(rows).splitlines()
    assert header.startswith("| round | labels | force MAE (meV/Å)")
    assert header.count("|") == rule.count("|") == body[0].count("|")
    assert len(body) == 2


@pytest.mark.parametrize(
    ("maes", "says", "says_not"),
    [
        ((0.2,), "not a learning curve yet", "fell"),
        (
            (0.2, 0.15, 0.1),
            "fell from 200 to 100 meV/Å (MAE), by 50%, while the labels grew from 20 to 36",
            "flat",
        ),
        ((0.2, 0.15, 0.1), "more labels should help", "Best on the test set"),
        ((0.2, 0.1, 0.099), "the curve is flat here", "more labels"),
        ((0.2, 0.1, 0.15), "Best on the test set is round 1 with 100 meV/Å", "more labels"),
        ((0.1, 0.2), "rose from 100 to 200 meV/Å (MAE), by 100%", "fell"),
        ((0.1, 0.101), "did not change noticeably", "rose"),
    ],
)
def test_verdict(maes, says, says_not):
    sentence = verdict([result(n, mae) for n, mae in enumerate(maes)])
    assert says in sentence
    assert says_not not in sentence


def test_best_round_is_the_champion_on_the_test_set():
    assert best_round([result(0, 0.3), result(1, 0.1), result(2, 0.2)]).round == 1
    with pytest.raises(ValueError, match="no finished round"):
        best_round([])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (8.24, "8.2 s"), (59.97, "1 min 00 s"), (200.2, "3 min 20 s"), (7500.0, "2 h 05 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
