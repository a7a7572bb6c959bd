"""The round table and the verdict follow from the numbers."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from flows.record.results import (
    RESULT_FILE,
    ChampionSummary,
    ErrorMetrics,
    EvaluationSummary,
    ExplorationSummary,
    LabelSummary,
    LedgerCounts,
    RoundResult,
    SelectionSummary,
    StopVerdict,
    TrainingSummary,
    UncertaintyMetrics,
)
from flows.record.rounds import Arm
from flows.views.console import print_rounds
from flows.views.duration import duration
from flows.views.summary import champion_round, markdown_table, measured, round_table, three_digits, verdict
from potential.metrics import FORCE_MAE


def result(number: int, force_mae: float, **changes) -> RoundResult:
    values = {
        "round": number,
        "n_labels": 20 + 8 * number,
        "training": TrainingSummary(
            n_train=18 + 8 * number, n_validation=2, epochs=100, seconds=61.0, fingerprint="7ea1"
        ),
        "evaluation": EvaluationSummary(
            test=ErrorMetrics(
                n_frames=20,
                energy_mae=0.004,
                energy_rmse=0.005,
                force_mae=force_mae,
                force_rmse=1.4 * force_mae,
            ),
            uncertainty=UncertaintyMetrics(
                mean_force_disagreement=0.05, max_force_disagreement=0.4, spearman=0.61
            ),
            fingerprint="7e57",
        ),
    }
    return RoundResult(**(values | changes))


def arm(folder: Path) -> Arm:
    return Arm("active", UncertainAndDiverse(), folder / "rounds")


def test_a_result_of_version_0_1_is_read(tmp_path: Path):
    """It had the numbers of all stages side by side."""
    old = {
        "round": 1,
        "n_labels": 28,
        "n_train": 25,
        "n_validation": 3,
        "test": {
            "n_frames": 20,
            "energy_mae": 1e-3,
            "energy_rmse": 2e-3,
            "force_mae": 0.1,
            "force_rmse": 0.2,
        },
        "uncertainty": {"mean_force_disagreement": 0.1, "max_force_disagreement": 0.4, "spearman": None},
        "epochs": 100,
        "train_seconds": 61.0,
        "ledger": {"accurate": 30, "candidate": 15, "failed": 5},
        "explore_seconds": 20.0,
        "surviving_replicas": 0.75,
        "n_selected": 9,
        "n_labelled": 8,
        "n_label_failures": 1,
        "label_seconds": 50.0,
        "dataset_fingerprint": "7ea1",
        "test_fingerprint": "7e57",
    }
    place = arm(tmp_path).round(1)
    place.path.mkdir(parents=True)
    place.result.write_text(json.dumps(old))
    (found,) = arm(tmp_path).results()
    assert found.arm == "active"
    assert found.training == TrainingSummary(
        n_train=25, n_validation=3, epochs=100, seconds=61.0, fingerprint="7ea1"
    )
    assert (found.test.force_mae, found.evaluation.fingerprint) == (0.1, "7e57")
    assert found.exploration is not None
    assert (found.exploration.ledger.total, found.exploration.surviving_replicas) == (50, 0.75)
    assert found.selection == SelectionSummary(n_selected=9)
    assert found.labels == LabelSummary(n_labelled=8, n_failed=1, seconds=50.0)
    assert found.seconds == 61 + 20 + 50
    last = {k: v for k, v in old.items() if k in {"round", "n_labels", "n_train", "n_validation", "test"}}
    last |= {"uncertainty": old["uncertainty"], "epochs": 100, "train_seconds": 61.0}
    place.result.write_text(json.dumps(last | {"ledger": None, "n_selected": None}))
    (found,) = arm(tmp_path).results()
    assert (found.exploration, found.selection, found.labels) == (None, None, None)
    assert found.training.fingerprint is None


def test_results_are_read_in_round_order(tmp_path: Path):
    for number in (10, 2, 0):
        folder = tmp_path / "rounds" / f"{number:02d}"
        folder.mkdir(parents=True)
        (folder / RESULT_FILE).write_text(result(number, 0.1).model_dump_json())
    (tmp_path / "rounds" / "11").mkdir()
    assert [r.round for r in arm(tmp_path).results()] == [0, 2, 10]
    assert [r.round for r in arm(tmp_path).results(up_to=2)] == [0, 2]


def test_a_damaged_result_is_named(tmp_path: Path):
    (tmp_path / "rounds" / "00").mkdir(parents=True)
    (tmp_path / "rounds" / "00" / RESULT_FILE).write_text('{"round": 0')
    with pytest.raises(ValueError, match=r"(?s)00/result\.json.*delete it"):
        arm(tmp_path).results()


def test_no_results_before_the_first_round(tmp_path: Path):
    assert arm(tmp_path).results() == []
    assert verdict([]) == "No round is finished yet."
    assert markdown_table(round_table([])) == ""


def test_round_table_shows_chemists_units_and_dashes_for_what_did_not_run():
    met = LedgerCounts(accurate=30, candidate=15, failed=5)
    explored = result(
        0,
        0.2,
        exploration=ExplorationSummary(ledger=met, surviving_replicas=1.0, seconds=1.0),
        labels=LabelSummary(n_labelled=7, n_failed=1, seconds=1.0),
    )
    rows = round_table([explored, result(1, 0.1)])
    assert rows[0]["force MAE (meV/Å)"] == "200"
    assert rows[0]["agree / candidate / failed"] == "60% / 30% / 10%"
    assert rows[0]["label failures"] == "1"
    assert rows[1]["agree / candidate / failed"] == rows[1]["labelling"] == "–"
    header, rule, *body = markdown_table(rows).splitlines()
    assert header.startswith("| round | labels | force MAE (meV/Å)")
    assert header.count("|") == rule.count("|") == body[0].count("|")
    assert len(body) == 2


@pytest.mark.parametrize("broadly", [False, True])
def test_the_table_on_a_terminal_fits_80_columns(broadly: bool):
    met = LedgerCounts(accurate=0, candidate=50, failed=50)
    measured = result(0, 0.0142).evaluation
    bars = {"force_mae": (0.0131, 0.0153), "energy_mae": (0.0039, 0.0041)}
    measured = measured.model_copy(update={"intervals": bars})
    stages = {
        "n_labels": 99_999,
        "evaluation": measured,
        "exploration": ExplorationSummary(ledger=met, surviving_replicas=1.0, seconds=3599.0),
        "labels": LabelSummary(n_labelled=2990, n_failed=10, seconds=82_800.0),
    }
    shown = StringIO()
    rounds = [result(n, 0.0142, **stages, **({"broad": measured} if broadly else {})) for n in (0, 100)]
    print_rounds(rounds, Console(file=shown, width=80))
    table = shown.getvalue().partition("The force error")[0]
    assert "…" not in table
    assert "14.2 ± 1.1" in table
    assert "0 / 50 / 50" in table
    assert max(map(len, shown.getvalue().splitlines())) <= 80


@pytest.mark.parametrize(
    ("maes", "says", "says_not"),
    [
        ((0.2,), "not a learning curve yet", "fell"),
        (
            (0.2, 0.15, 0.1),
            "fell from 200 to 100 meV/Å (MAE), by 50%, while the labels grew from 20 to 36",
            "flat",
        ),
        ((0.2, 0.15, 0.1), "more labels should help", "champion"),
        ((0.2, 0.1, 0.099), "the curve is flat here", "more labels"),
        ((0.2, 0.1, 0.15), "The champion: round 1, the best on the frozen test set.", "more labels"),
        ((0.00125, 0.0011), "fell from 1.25 to 1.10 meV/Å (MAE)", "to 1 meV"),
        ((0.1, 0.2), "rose from 100 to 200 meV/Å (MAE), by 100%", "fell"),
        ((0.1, 0.101), "did not change noticeably", "rose"),
    ],
)
def test_verdict(maes, says, says_not):
    sentence = verdict([result(n, mae) for n, mae in enumerate(maes)])
    assert says in sentence
    assert says_not not in sentence


def with_gain(number: int, gain: tuple[float, float, float], fall: tuple[float, float, float]) -> RoundResult:
    """A last round that has measured its gain and the fall since the first, each with its interval."""
    stop = StopVerdict(
        conditions=(),
        ended=None,
        hours=1.0,
        gain=gain[0],
        gain_low=gain[1],
        gain_high=gain[2],
        fall=fall[0],
        fall_interval=fall[1:],
    )
    return result(number, 0.1, stop=stop)


@pytest.mark.parametrize(
    ("gain", "fall", "says"),
    [
        ((0.3, -0.05, 0.5), (0.5, 0.4, 0.6), "brought no significant gain (30%, 95 % interval -5% to 50%)."),
        ((0.3, 0.2, 0.4), (0.5, 0.4, 0.6), "by 50%, 95 % interval 40% to 60%, while the labels grew"),
        ((0.3, 0.2, 0.4), (0.5, 0.4, 0.6), "gained 30%, 95 % interval 20% to 40%: the curve still falls"),
        ((0.02, 0.01, 0.03), (0.5, 0.4, 0.6), "gained 2%, 95 % interval 1% to 3%: the curve is nearly flat"),
        ((-0.3, -0.4, -0.2), (0.5, 0.4, 0.6), "The last round lost 30%, 95 % interval 20% to 40%:"),
        ((0.3, 0.2, 0.4), (0.2, -0.1, 0.4), "did not change significantly (20%, 95 % interval -10% to 40%)"),
    ],
)
def test_a_gain_counts_where_its_interval_leaves_out_zero(gain, fall, says):
    assert says in verdict([result(0, 0.2), result(1, 0.15), with_gain(2, gain, fall)])


def test_errors_come_with_half_of_their_interval():
    found = result(0, 0.2)
    assert measured(found.evaluation, FORCE_MAE) == "200"
    known = found.evaluation.model_copy(update={"intervals": {"force_mae": (0.1876, 0.2116)}})
    assert measured(known, FORCE_MAE) == "200 ± 12"
    known = known.model_copy(update={"intervals": {"force_mae": (0.199, 0.2010)}})
    assert measured(known, FORCE_MAE) == "200.0 ± 1.0"
    assert measured(None, FORCE_MAE) == "–"


def test_the_champion_is_what_the_last_round_chose_and_of_older_versions_the_best_on_the_test_set():
    chosen = ChampionSummary(round=1, before=1, n_held_out=8, said="better than the newest")
    assert champion_round([result(0, 0.1), result(1, 0.3), result(2, 0.2, champion=chosen)]).round == 1
    assert champion_round([result(0, 0.3), result(1, 0.1), result(2, 0.2)]).round == 1
    with pytest.raises(ValueError, match="no finished round"):
        champion_round([])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (8.24, "8.2 s"), (59.97, "1 min 00 s"), (200.2, "3 min 20 s"), (7500.0, "2 h 05 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.28, "0.280"), (87.46, "87.5"), (1549.2, "1549"), (0.0, "0"), (-3.14159, "-3.14")]
)
def test_three_digits_have_no_exponent(value: float, shown: str) -> None:
    assert three_digits(value) == shown
