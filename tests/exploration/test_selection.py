import numpy as np
import pandas as pd
import pytest

from exploration.diversity import duplicates, farthest_points, internal_distances, near_duplicate_share
from exploration.explore import explore
from exploration.ledger import Exploration
from exploration.selection import Selection, select
from exploration.settings import ExplorationConfig
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from potential.data.frame import Frame
from potential.data.structure_files import molecule
from tests.support.force_models import Springs

WATER = molecule("H2O")
CONFIG = UncertainAndDiverse(frames_per_round=5)


def distances_as_descriptors(frames) -> np.ndarray:
    return np.array([internal_distances(f) for f in frames], dtype=np.float64)


@pytest.fixture(scope="module")
def explored() -> Exploration:
    config = ExplorationConfig(
        n_replicas=4, temperatures_K=(200.0, 600.0), n_steps=200, record_every=5, lower_eV_per_A=0.1
    )
    return explore(Springs(WATER, scales=(0.9, 1.0, 1.1)), [WATER], config, seed=0)


def ledger(frames: list[Frame], verdicts: list[str], disagreement: list[float]) -> Exploration:
    """A ledger written by hand."""
    records = pd.DataFrame(
        {
            "frame_id": [f.id for f in frames],
            "replica": 0,
            "step": range(len(frames)),
            "bath_temperature_K": 300.0,
            "max_force_disagreement": disagreement,
            "verdict": verdicts,
            "reason": [f"said {v}" for v in verdicts],
        }
    )
    return Exploration(records=records, frames=tuple(frames), replicas=pd.DataFrame())


def stretched(*factors: float) -> list[Frame]:
    return [WATER.moved(WATER.positions * f) for f in factors]


def choose(exploration, training=(WATER,), config=CONFIG, seed=0, descriptors=distances_as_descriptors):
    return select(exploration, descriptors=descriptors, training_frames=training, strategy=config, seed=seed)


def test_every_recorded_frame_gets_a_decision_and_a_reason(explored):
    chosen = choose(explored)
    table = chosen.table
    assert table["frame_id"].tolist() == explored.records["frame_id"].tolist()
    assert (table["reason"].str.len() > 0).all()
    picked = table[table["decision"] == "selected"].sort_values("rank")
    assert picked["rank"].tolist() == [1, 2, 3, 4, 5]
    assert picked["frame_id"].tolist() == [f.id for f in chosen.frames]
    assert (picked["verdict"] == "candidate").all()
    assert (table["stage"] == "band").sum() == explored.counts["accurate"]
    assert chosen.warnings == ()


@pytest.mark.parametrize("by_temperature", [False, True])
def test_picks_are_the_farthest_from_training_and_from_each_other(explored, by_temperature):
    chosen = choose(explored, config=CONFIG.model_copy(update={"by_temperature": by_temperature}))
    rungs = dict(zip(explored.records["frame_id"], explored.records["bath_temperature_K"], strict=True))
    known = distances_as_descriptors([WATER])
    stages = zip(explored.frames, chosen.table["stage"], strict=True)
    candidates = [frame for frame, stage in stages if stage in ("farthest_point", "cap")]
    if by_temperature:
        assert [rungs[frame.id] for frame in chosen.frames] == [600.0, 200.0, 600.0, 200.0, 600.0]
    for frame in chosen.frames:  # written out: no candidate is farther from what was known at the time
        rivals = [f for f in candidates if not by_temperature or rungs[f.id] == rungs[frame.id]]
        points = distances_as_descriptors(rivals)
        away = [np.linalg.norm(known - p, axis=1).min() for p in points]
        mine = np.linalg.norm(known - distances_as_descriptors([frame]), axis=1).min()
        assert mine == pytest.approx(max(away))
        known = np.concatenate([known, distances_as_descriptors([frame])])


def test_a_rung_with_nothing_left_gives_its_turns_to_the_others():
    points, at = np.array([[1.0], [2.0], [3.0], [10.0]]), np.array([300.0, 300.0, 300.0, 600.0])
    picks, distances, _ = farthest_points(points, np.zeros((1, 1)), 4, groups=at)
    assert picks == [3, 2, 0, 1]
    assert distances == [10.0, 3.0, 1.0, 1.0]
    assert farthest_points(points, np.zeros((1, 1)), 9, groups=at)[0] == picks
    assert farthest_points(points, np.zeros((1, 1)), 1, groups=at)[0] == [3]


def test_it_can_be_replayed(explored):
    thin = CONFIG.model_copy(update={"max_considered": 20})
    first, again, other = (choose(explored, config=thin, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert first.frames == again.frames
    assert first.frames != other.frames
    assert (first.table["stage"] == "thin").sum() == explored.counts["candidate"] - 20


@pytest.mark.parametrize("tolerance_A", [0.0, 0.02])
def test_a_copy_of_a_training_frame_is_never_picked(tolerance_A):
    turned = WATER.moved(WATER.positions[:, [1, 2, 0]] + 5.0)  # same molecule elsewhere
    permuted = WATER.moved(WATER.positions[[0, 2, 1]])  # same molecule, hydrogens swapped
    new = stretched(1.1)[0]
    frames = [turned, permuted, new]
    exploration = ledger(frames, ["candidate"] * 3, [0.9, 0.8, 0.2])
    chosen = choose(exploration, config=CONFIG.model_copy(update={"duplicate_tolerance_A": tolerance_A}))
    assert chosen.frames == (new,)
    assert chosen.table["stage"].tolist() == ["duplicate", "duplicate", "farthest_point"]


def test_of_near_duplicates_the_most_uncertain_stays():
    frames = stretched(1.1, 1.1001, 1.2)
    chosen = choose(ledger(frames, ["candidate"] * 3, [0.3, 0.4, 0.2]))
    assert set(chosen.frames) == {frames[1], frames[2]}
    assert chosen.table["stage"].tolist()[0] == "duplicate"
    assert frames[1].id in chosen.table["reason"][0]


def test_failed_frames_are_never_picked():
    frames = stretched(1.3, 1.2, 1.1)
    chosen = choose(ledger(frames, ["failed", "candidate", "failed"], [np.nan, 0.5, 9.0]))
    assert chosen.frames == (frames[1],)
    assert chosen.table["stage"].tolist() == ["filter", "farthest_point", "filter"]
    assert chosen.table["reason"][0] == "said failed"


def test_a_descriptor_that_is_not_finite_is_filtered():
    frames = stretched(1.1, 1.2)

    def half_broken(frames):
        points = distances_as_descriptors(frames)
        points[[f.id == bad.id for f in frames]] = np.nan
        return points

    bad = frames[1]
    chosen = choose(ledger(frames, ["candidate"] * 2, [0.3, 0.4]), descriptors=half_broken)
    assert chosen.frames == (frames[0],)
    assert chosen.table["reason"][1] == "its descriptor is not finite"
    with pytest.raises(ValueError, match="committee is broken"):
        choose(ledger(frames, ["candidate"] * 2, [0.3, 0.4]), training=[bad], descriptors=half_broken)
    with pytest.raises(ValueError, match=r"descriptors of 2 frames have shape \(1, 3\)"):
        choose(
            ledger(frames, ["candidate"] * 2, [0.3, 0.4]),
            descriptors=lambda f: distances_as_descriptors(f)[:1],
        )


def test_too_few_candidates_are_filled_up_with_uncertain_accurate_frames():
    frames = stretched(1.3, *np.linspace(1.05, 1.25, 30))
    exploration = ledger(frames, ["candidate"] + ["accurate"] * 30, [0.5, *np.linspace(0.01, 0.09, 30)])
    config = UncertainAndDiverse(frames_per_round=3)
    filled = choose(exploration, config=config)
    assert filled.frames[0] == frames[0]
    assert len(filled.frames) == 3
    assert filled.table["stage"].value_counts().to_dict() == {"band": 28, "fill": 2, "farthest_point": 1}
    fill = filled.table[filled.table["stage"] == "fill"]
    assert fill["max_force_disagreement"].min() >= np.linspace(0.01, 0.09, 30)[-8]
    assert fill["reason"].str.startswith("too few candidates; accurate").all()
    assert filled.table["rank"].dropna().tolist() == [1, *fill["rank"]]
    assert filled.warnings == (
        "only 1 candidates worth a label for the 3 of this round",
        "filled with 2 accurate frames",
    )
    strict = choose(exploration, config=config.model_copy(update={"fill_with_accurate": False}))
    assert strict.frames == (frames[0],)
    assert len(strict.warnings) == 1


def test_nothing_to_select_is_a_result_and_not_an_error():
    chosen = choose(ledger(stretched(1.1, 1.2), ["failed"] * 2, [5.0, 6.0]))
    assert chosen.frames == ()
    assert (chosen.table["decision"] == "rejected").all()
    assert chosen.warnings


def test_saved_and_loaded_it_is_the_same(tmp_path, explored):
    for folder, chosen in (
        ("full", choose(explored)),
        ("none", choose(ledger(stretched(1.1), ["failed"], [5.0]))),
    ):
        chosen.save(tmp_path / folder)
        again = Selection.load(tmp_path / folder)
        assert again.frames == chosen.frames
        assert again.warnings == chosen.warnings
        pd.testing.assert_frame_equal(again.table, chosen.table, rtol=1e-12)


def test_duplicates_of_periodic_frames_count_the_cell_and_the_nearest_images():
    rng = np.random.default_rng(0)
    cell = np.diag([6.0, 7.0, 8.0])
    crystal = Frame.of([11] * 4 + [17] * 4, rng.uniform(0, 6, (8, 3)), cell, True)
    wrapped = crystal.moved(crystal.positions + cell[0] * rng.integers(-1, 2, (8, 1)))
    strained = crystal.moved(crystal.positions, cell=cell + np.diag([0, 0, 0.1]))
    other_charge = Frame.of(crystal.numbers, crystal.positions, cell, True, charge=1)
    found = duplicates([wrapped, strained, other_charge], [crystal], tolerance_A=0.02)
    assert list(found) == [0]
    assert found[0][0] == crystal
    assert found[0][1] < 1e-5


def test_one_moved_atom_among_many_is_no_duplicate():
    rng = np.random.default_rng(1)
    big = Frame.of([18] * 100, rng.uniform(0, 30, (100, 3)))
    moved = big.positions.copy()
    moved[17] += [0.1, 0, 0]
    assert not duplicates([big.moved(moved)], [big], tolerance_A=0.02)


def test_farthest_points_without_references_start_at_the_edge():
    points = np.array([[0.0], [1.0], [2.0], [10.0], [10.0]])
    picks, at_pick, left = farthest_points(points, np.zeros((0, 1)), 5)
    assert picks == [3, 0, 2, 1]
    assert at_pick[1:] == [10.0, 2.0, 1.0]
    assert left.max() == 0.0


def test_the_share_of_near_duplicates():
    water = molecule("H2O")
    picks = [water.moved(water.positions * factor) for factor in (1.0001, 1.5, 1.5001, 2.0)]
    assert near_duplicate_share(picks, [water]) == 0.5  # one repeats the known frame, one another pick
    assert near_duplicate_share([], [water]) is None
