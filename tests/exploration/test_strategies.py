"""What every strategy of the union must do, whatever it chooses by."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exploration.decisions import Decision, Stage, picks
from exploration.diversity import duplicates, internal_distances
from exploration.ledger import Exploration
from exploration.pool import Pool
from exploration.selection import Selection, select
from exploration.strategies import Strategy, strategy_of_record
from exploration.strategies.diverse import Diverse
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.random_draw import RandomDraw
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from potential.data.frame import Frame
from potential.data.structure_files import molecule

WATER = molecule("H2O")
KINDS = get_args(get_args(Strategy)[0])
OUTCOMES = ("accurate", "candidate", "failed")
examples = settings(derandomize=True, deadline=None, max_examples=25, database=None)
every = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind().strategy)


def descriptors(frames) -> np.ndarray:
    return np.array([internal_distances(f) for f in frames], dtype=np.float64)


def explored(frames, outcomes, disagreement, physical) -> Exploration:
    records = pd.DataFrame(
        {
            "frame_id": pd.Series([f.id for f in frames], dtype=str),
            "replica": 0,
            "step": np.arange(len(frames)),
            "bath_temperature_K": 300.0,
            "max_force_disagreement": np.array(disagreement, dtype=np.float64),
            "verdict": pd.Series(outcomes, dtype=str),
            "reason": pd.Series([f"said {o}" for o in outcomes], dtype=str),
            "physical": np.array(physical, dtype=bool),
        }
    )
    return Exploration(records=records, frames=tuple(frames), replicas=pd.DataFrame())


def made_up(n: int, seed: int, *, repeats: int = 0) -> Exploration:
    """Frames near and far, some of them twice; verdicts in any mixture, a few scores that are no number."""
    rng = np.random.default_rng(seed)
    size = rng.choice([0.001, 0.05, 0.3], size=(n, 1, 1))
    frames = [WATER.moved(WATER.positions + shift) for shift in size * rng.normal(size=(n, 3, 3))]
    frames += [frames[i] for i in rng.integers(0, n, repeats if n else 0)]
    outcomes = rng.choice(OUTCOMES, len(frames))
    disagreement = rng.uniform(0.0, 2.0, len(frames))
    disagreement[rng.random(len(frames)) < 0.1] = np.nan
    physical = (outcomes != "failed") | (rng.random(len(frames)) < 0.5)
    return explored(frames, outcomes, disagreement, physical)


def chosen(strategy, exploration: Exploration, training=(WATER,), seed: int = 0) -> Selection:
    return select(
        exploration, descriptors=descriptors, training_frames=training, strategy=strategy, seed=seed
    )


def check(found: Selection, exploration: Exploration, training, strategy) -> None:
    """Everything that holds for every selection."""
    table = found.table
    assert table["frame_id"].tolist() == exploration.records["frame_id"].tolist()
    assert table["stage"].isin(list(Stage)).all()
    assert (table["reason"].str.len() > 0).all()
    selected = table["decision"] == "selected"
    assert selected.tolist() == [Stage[stage.upper()].selects for stage in table["stage"]]
    assert selected.tolist() == table["rank"].notna().tolist()
    picked = table[selected].sort_values("rank")
    assert picked["rank"].tolist() == list(range(1, len(picked) + 1))
    assert picked["frame_id"].tolist() == [frame.id for frame in found.frames]
    assert len(picked) <= strategy.frames_per_round
    assert len(picked) == strategy.frames_per_round or found.warnings
    assert exploration.physical[selected].all()
    assert np.isfinite(picked["max_force_disagreement"]).all()
    ids = [frame.id for frame in found.frames]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {frame.id for frame in training}
    assert not duplicates(found.frames, training, tolerance_A=strategy.duplicate_tolerance_A)


@every
@examples
@given(
    n=st.integers(0, 25),
    repeats=st.integers(0, 5),
    n_training=st.integers(0, 4),
    wanted=st.integers(1, 12),
    tolerance_A=st.sampled_from([0.0, 0.01, 0.2]),
    considered=st.sampled_from([5, 1000]),
    seed=st.integers(0, 10_000),
)
def test_what_holds_for_every_selection(kind, n, repeats, n_training, wanted, tolerance_A, considered, seed):
    exploration = made_up(n, seed, repeats=repeats)
    training = exploration.frames[:n_training]
    strategy = kind(frames_per_round=wanted, duplicate_tolerance_A=tolerance_A, max_considered=considered)
    found = chosen(strategy, exploration, training, seed)
    check(found, exploration, training, strategy)
    again = chosen(strategy, exploration, training, seed)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert (again.frames, again.warnings) == (found.frames, found.warnings)


@every
@examples
@given(order=st.permutations(range(20)), seed=st.integers(0, 100))
def test_the_order_of_the_pool_is_no_matter(kind, order, seed):
    """Unless more frames than are compared are thinned, which UncertainAndDiverse does by row."""
    exploration = made_up(20, seed)
    shuffled = Exploration(
        records=exploration.records.iloc[list(order)].reset_index(drop=True),
        frames=tuple(exploration.frames[i] for i in order),
        replicas=exploration.replicas,
    )
    strategy = kind(frames_per_round=4)
    assert chosen(strategy, shuffled, seed=seed).frames == chosen(strategy, exploration, seed=seed).frames


@every
def test_nothing_to_choose_from_is_an_answer(kind):
    empty = made_up(0, 0)
    hopeless = explored(made_up(5, 1).frames, ["failed"] * 5, [9.0] * 5, [False] * 5)
    for exploration in (empty, hopeless):
        found = chosen(kind(), exploration)
        assert found.frames == ()
        assert found.warnings
        check(found, exploration, (WATER,), kind())
        assert (found.table["stage"] == Stage.FILTER).all()


@every
def test_a_score_that_is_not_a_number_is_never_selected(kind):
    frames = made_up(6, 2).frames
    exploration = explored(frames, ["candidate"] * 6, [np.nan, 0.5, np.inf, np.nan, 0.4, 0.3], [True] * 6)
    found = chosen(kind(duplicate_tolerance_A=0.0), exploration)
    assert set(found.frames) == {frames[1], frames[4], frames[5]}
    assert found.table["reason"][0] == "not finite: max_force_disagreement nan"
    assert found.table["reason"][2] == "not finite: max_force_disagreement inf"


@every
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    for name, exploration in (("some", made_up(30, 3)), ("none", made_up(0, 0))):
        found = chosen(kind(), exploration)
        found.save(tmp_path / name)
        again = Selection.load(tmp_path / name)
        assert again.frames == found.frames
        assert again.warnings == found.warnings
        pd.testing.assert_frame_equal(again.table, found.table, rtol=1e-12, check_dtype=len(found.table) > 0)


@every
def test_its_settings_read_back_to_the_same(kind):
    union = TypeAdapter(Strategy)
    strategy = kind(frames_per_round=3, duplicate_tolerance_A=0.2)
    assert union.validate_python(strategy.model_dump(mode="json")) == strategy
    assert union.validate_python(strategy) == strategy
    assert all(field.description for name, field in kind.model_fields.items() if name != "strategy")


def test_settings_without_a_name_are_those_of_the_default_and_in_old_records_of_the_first_strategy():
    old = {
        "frames_per_round": 4,
        "duplicate_tolerance_A": 0.1,
        "max_considered": 50,
        "fill_with_accurate": False,
    }
    union = TypeAdapter(Strategy)
    assert union.validate_python(old).model_dump() == WeightedKMeans(**old).model_dump()
    assert isinstance(union.validate_python({}), WeightedKMeans)
    assert strategy_of_record(old) == UncertainAndDiverse(**old)
    assert strategy_of_record(old | {"strategy": "kmeans_pp"}) == union.validate_python(
        old | {"strategy": "kmeans_pp"}
    )
    assert "strategy" in union.validate_python({"strategy": "kmeans_pp"}).model_fields_set
    assert "strategy" not in union.validate_python(old).model_fields_set


def spread(outcomes, disagreement=None, physical=None) -> Exploration:
    """Water molecules, each larger than the last by the same factor."""
    n = len(outcomes)
    frames = [WATER.moved(WATER.positions * 1.1 ** (i + 1)) for i in range(n)]
    return explored(frames, outcomes, [0.5] * n if disagreement is None else disagreement, [True] * n)


@pytest.mark.parametrize("kind", [Diverse, RandomDraw])
def test_the_committee_has_no_say_in_what_is_diverse_or_random(kind):
    before = spread(["candidate"] * 12, np.linspace(0.1, 0.9, 12))
    after = spread(["accurate", "candidate", "failed"] * 4, np.linspace(5.0, 0.01, 12))
    strategy = kind(frames_per_round=3)
    assert chosen(strategy, before).frames == chosen(strategy, after).frames


def test_diverse_picks_are_the_farthest_of_all_physical_frames():
    exploration = spread(["accurate"] * 5)
    found = chosen(Diverse(frames_per_round=2), exploration)
    # the largest is farthest from the training frame; then the one in the middle, on a scale that grows
    assert found.frames == (exploration.frames[4], exploration.frames[2])
    assert set(found.table["stage"]) == {"farthest_point", "cap"}
    assert found.warnings == ()


def test_random_draws_are_uniform_over_physical_frames():
    exploration = spread(["accurate", "candidate", "failed"] * 2)
    pool = Pool.of(exploration, training_frames=[WATER], descriptors=descriptors)
    drawn = [
        row
        for seed in range(300)
        for row in picks(RandomDraw(frames_per_round=2).decide(pool, seed=seed).decisions)
    ]
    counts = np.bincount(drawn, minlength=6)
    # 100 expected of each, with a standard deviation of sqrt(300 * 1/3 * 2/3) = 8.2
    assert (abs(counts - 100) < 4 * 8.2).all()


def test_random_draws_count_near_duplicates_once():
    frame = WATER.moved(WATER.positions * 1.2)
    crowd = [WATER.moved(frame.positions * (1 + 1e-4 * i)) for i in range(20)]
    alone = WATER.moved(WATER.positions * 1.5)
    exploration = explored([*crowd, alone], ["candidate"] * 21, [0.5] * 21, [True] * 21)
    found = chosen(RandomDraw(frames_per_round=8), exploration)
    assert alone in found.frames
    assert len(found.frames) == 2
    assert (found.table["stage"] == "duplicate").sum() == 19
    assert found.warnings == ("only 2 physical frames worth a label for the 8 of this round",)


def test_a_descriptor_is_computed_once_and_only_if_it_is_asked_for():
    asked: list[Frame] = []

    def counted(frames):
        asked.extend(frames)
        return descriptors(frames)

    exploration = spread(["accurate"] * 10 + ["candidate"] * 2, np.linspace(0.1, 0.9, 12))
    pool = Pool.of(exploration, training_frames=[WATER], descriptors=counted)
    RandomDraw().decide(pool, seed=0)
    assert asked == []
    for _ in range(2):
        UncertainAndDiverse(frames_per_round=5).decide(pool, seed=0)  # two candidates, filled with three
    assert len(asked) == len(set(asked)) == 1 + 12


def test_a_stage_says_what_it_means_and_goes_with_a_rank():
    assert all(stage.description for stage in Stage)
    rejects = {Stage.BAND, Stage.FILTER, Stage.THIN, Stage.DUPLICATE, Stage.CAP}
    assert {stage for stage in Stage if not stage.selects} == rejects
    with pytest.raises(AssertionError, match="a rank goes with a selecting stage"):
        Decision(stage=Stage.CAP, reason="over", rank=1)


@every
def test_all_that_are_wanted_are_chosen_from_more_than_are_compared_by_default(kind):
    exploration = made_up(12, 3)
    candidates = explored(
        exploration.frames, ["candidate"] * 12, list(np.linspace(0.1, 0.9, 12)), [True] * 12
    )
    found = chosen(kind(frames_per_round=5, max_considered=1, duplicate_tolerance_A=0.0), candidates)
    assert len(found.frames) == 5
    assert Stage.FILL not in set(found.table["stage"])
