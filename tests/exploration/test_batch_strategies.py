"""Strategies of the literature choose what they are there to choose."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from exploration.batch_selection import largest_cluster_farthest_points, weighted_kmeans_plus_plus
from exploration.diversity import farthest_points, internal_distances
from exploration.ledger import Exploration
from exploration.selection import select
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.lcmd import LargestCluster
from exploration.strategies.point_of_failure import PointOfFailure
from exploration.strategies.uncertain import Uncertain
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from potential.data.structure_files import molecule

WATER = molecule("H2O")


def stretched(factors, disagreement=None, outcomes=None, replica=None, step=None, physical=None):
    """Water molecules of these sizes, as an exploration."""
    frames = [WATER.moved(WATER.positions * factor) for factor in factors]
    n = len(frames)
    records = pd.DataFrame(
        {
            "frame_id": pd.Series([f.id for f in frames], dtype=str),
            "replica": np.zeros(n, dtype=int) if replica is None else replica,
            "step": np.arange(n) if step is None else step,
            "bath_temperature_K": 300.0,
            "max_force_disagreement": np.full(n, 0.5) if disagreement is None else disagreement,
            "verdict": ["candidate"] * n if outcomes is None else outcomes,
            "reason": [f"said of {i}" for i in range(n)],
            "physical": [True] * n if physical is None else physical,
        }
    )
    return Exploration(records=records, frames=tuple(frames), replicas=pd.DataFrame())


def rows(exploration, strategy, seed=0) -> list[int]:
    """What is picked, by row, in the order of the ranks."""
    found = select(
        exploration,
        descriptors=lambda frames: np.array([internal_distances(f) for f in frames], dtype=np.float64),
        training_frames=[WATER],
        strategy=strategy,
        seed=seed,
    )
    return [exploration.frames.index(frame) for frame in found.frames]


def stages(exploration, strategy) -> list[str]:
    found = select(
        exploration,
        descriptors=lambda frames: np.array([internal_distances(f) for f in frames], dtype=np.float64),
        training_frames=[WATER],
        strategy=strategy,
        seed=0,
    )
    return found.table["stage"].tolist()


def test_a_crowd_counts_more_than_an_outlier():
    """Around one centre nine points at distance 3, around the other a single one at distance 5."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 9)
    crowd = np.column_stack([3 * np.cos(angle), 3 * np.sin(angle)])
    points, centres = np.vstack([crowd, [[105.0, 0.0]]]), np.array([[0.0, 0.0], [100.0, 0.0]])
    picks, distances = largest_cluster_farthest_points(points, centres, 1)
    assert picks[0] < 9
    assert distances[0] == pytest.approx(3.0)
    assert farthest_points(points, centres, 1)[0] == [9]  # which the outlier would win


def test_largest_clusters_against_the_definition():
    """The algorithm written out anew, step by step, on random points."""
    rng = np.random.default_rng(1)
    points, references = rng.normal(size=(30, 4)), rng.normal(size=(5, 4))
    found, _ = largest_cluster_farthest_points(points, references, 8)
    picked: list[int] = []
    for _ in range(8):
        centres = np.vstack([references, points[picked]])
        apart = np.linalg.norm(points[:, None] - centres[None], axis=2)
        nearest, distance = apart.argmin(axis=1), apart.min(axis=1)
        sizes = [(distance[nearest == c] ** 2).sum() for c in range(len(centres))]
        members = np.flatnonzero(nearest == int(np.argmax(sizes)))
        picked.append(int(members[distance[members].argmax()]))
    assert found == picked


def test_weighted_draws_have_their_probabilities():
    points, weights = np.array([[1.0], [2.0], [-4.0]]), np.array([1.0, 2.0, 0.5])
    drawn = [
        weighted_kmeans_plus_plus(points, np.zeros((1, 1)), weights, 1, rng=np.random.default_rng(seed))[0][0]
        for seed in range(2000)
    ]
    expected = np.array([1.0, 16.0, 4.0]) / 21
    assert np.bincount(drawn, minlength=3) / 2000 == pytest.approx(expected, abs=0.04)


def test_groups_take_turns_in_weighted_draws():
    """Group 600 has one point of three: it comes first, then only group 300 has any left."""
    points, weights = np.array([[1.0], [2.0], [-4.0]]), np.array([1.0, 2.0, 0.5])
    groups = np.array([600.0, 300.0, 300.0])
    for references in (np.zeros((1, 1)), np.zeros((0, 1))):
        drawn = [
            weighted_kmeans_plus_plus(
                points, references, weights, 3, rng=np.random.default_rng(seed), groups=groups
            )
            for seed in range(400)
        ]
        assert all(picks[0] == 0 and sorted(picks) == [0, 1, 2] for picks, _ in drawn)
        # At 2 the nearest is now the pick at 1; at -4 it is 0, or the pick at 1 without a reference.
        apart = np.array([2 * 1.0, 0.5 * (4.0 if len(references) else 5.0)]) ** 2
        second = np.mean([picks[1] == 1 for picks, _ in drawn])
        assert second == pytest.approx(apart[0] / apart.sum(), abs=0.08)


def test_rungs_of_the_ladder_take_turns_in_draws():
    exploration = stretched(1 + 0.1 * np.arange(1, 9))
    ladder = replace(exploration, records=exploration.records.assign(bath_temperature_K=[300.0, 900.0] * 4))
    for seed in range(5):
        assert [row % 2 for row in rows(ladder, WeightedKMeans(frames_per_round=6), seed)] == [1, 0] * 3
        free = WeightedKMeans(frames_per_round=6, by_temperature=False)
        assert rows(ladder, free, seed) == rows(exploration, WeightedKMeans(frames_per_round=6), seed)


def test_the_most_uncertain_come_first():
    exploration = stretched([1.1, 1.2, 1.3, 1.4], [0.3, 0.9, 0.2, 0.8])
    assert rows(exploration, Uncertain(frames_per_round=3)) == [1, 3, 0]
    crowded = stretched([1.1, 1.1001, 1.1002, 1.3], [0.9, 0.8, 0.7, 0.2])
    assert rows(crowded, Uncertain(frames_per_round=3)) == [0, 3]  # near-duplicates are asked for once


def test_strategies_of_clusters_and_draws_stay_among_candidates():
    exploration = stretched(
        1 + 0.1 * np.arange(1, 13), outcomes=["accurate", "candidate", "failed"] * 4, physical=[True] * 12
    )
    for kind in (LargestCluster, WeightedKMeans):
        picked = rows(exploration, kind(frames_per_round=3, fill_with_accurate=False))
        assert len(picked) == 3
        assert set(picked) <= {1, 4, 7, 10}
    seeds = {tuple(rows(exploration, WeightedKMeans(frames_per_round=2), seed)) for seed in range(10)}
    assert len(seeds) > 1


def test_the_last_good_frames_before_a_failure_in_turns():
    """Replica 0 stops at step 4 and replica 1 at step 2; replica 2 goes on."""
    replica = [0] * 5 + [1] * 3 + [2] * 3
    step = [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2]
    physical = [True, True, True, True, False, True, True, False, True, True, True]
    outcomes = ["candidate" if good else "failed" for good in physical]
    disagreement = np.linspace(0.2, 0.4, 11)
    exploration = stretched(
        1 + 0.1 * np.arange(1, 12), disagreement, outcomes, replica=replica, step=step, physical=physical
    )
    strategy = PointOfFailure(frames_per_round=4)
    assert rows(exploration, strategy) == [6, 3, 5, 2]
    assert rows(exploration, PointOfFailure(frames_per_round=7))[6:] == [10]  # then the most uncertain
    assert stages(exploration, PointOfFailure(frames_per_round=7)).count("failure") == 6


def test_a_share_of_quiet_frames():
    outcomes = ["candidate"] * 6 + ["accurate"] * 6
    exploration = stretched(1 + 0.1 * np.arange(1, 13), outcomes=outcomes)
    for kind in (UncertainAndDiverse, Uncertain, LargestCluster, WeightedKMeans, PointOfFailure):
        found = stages(exploration, kind(frames_per_round=4, quiet_share=0.5))
        assert found.count("quiet") == 2
        assert {i for i, stage in enumerate(found) if stage == "quiet"} <= set(range(6, 12))
        picked = rows(exploration, kind(frames_per_round=4, quiet_share=0.5))
        assert len(picked) == 4
        assert min(picked[2:]) >= 6  # after the uncertain ones
    assert rows(exploration, UncertainAndDiverse(frames_per_round=4)) == rows(
        exploration, UncertainAndDiverse(frames_per_round=4, quiet_share=0.1)
    )  # a tenth of four is none
