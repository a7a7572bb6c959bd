"""Near-duplicates and farthest points: what keeps a selection from saying the same thing twice."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from ase.geometry import get_distances
from jaxtyping import Bool, Float

from potential.data.frame import Frame


def duplicates(
    frames: Sequence[Frame], references: Sequence[Frame], *, tolerance_A: float
) -> dict[int, tuple[Frame, float]]:
    """Which of `frames` hardly differ from a reference or from an earlier frame that is none itself.

    Two frames of the same atoms (same order, charge, spin, periodicity) are duplicates if none of
    their interatomic distances differs by more than the tolerance. That is independent of rotation,
    translation and mirror images, under all of which the energy is the same.

    Returns:
        For each duplicate's index the frame that it repeats and the largest difference in Angstrom.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    pool = [*references, *frames]
    for i, frame in enumerate(pool):
        groups[frame.numbers.tobytes(), frame.pbc, frame.charge, frame.spin].append(i)
    found: dict[int, tuple[Frame, float]] = {}
    for members in groups.values():
        shapes = np.stack([internal_distances(pool[i]) for i in members])
        first = bisect_left(members, len(references))  # references are not compared with one another
        for k, i in enumerate(members):
            if i - len(references) in found:
                continue
            later = max(k + 1, first)
            differences = np.abs(shapes[later:] - shapes[k]).max(axis=1, initial=0.0)
            for n in np.flatnonzero(differences <= tolerance_A).tolist():
                found.setdefault(members[later + n] - len(references), (pool[i], float(differences[n])))
    return found


NEAR_A = 0.1
"""Frames in which no distance differs by more are near-duplicates, whatever tolerance a strategy has."""


def near_duplicate_share(picks: Sequence[Frame], known: Sequence[Frame]) -> float | None:
    """Share of the picks that are near-duplicates of known frames or earlier picks; None for no picks."""
    return len(duplicates(picks, known, tolerance_A=NEAR_A)) / len(picks) if picks else None


def internal_distances(frame: Frame) -> Float[np.ndarray, "distances"]:
    """All interatomic distances (nearest image) and, if periodic, the lengths that fix the cell. Å."""
    periodic = any(frame.pbc)
    _, matrix = get_distances(
        frame.positions, cell=frame.cell if periodic else None, pbc=frame.pbc if periodic else None
    )
    pairs: np.ndarray = matrix[np.triu_indices(len(frame), k=1)]
    if not periodic:
        return pairs.astype(np.float32)
    a, b, c = frame.cell
    lengths = np.linalg.norm([a, b, c, a - b, b - c, c - a], axis=1)
    return np.concatenate([pairs, lengths]).astype(np.float32)


def farthest_points(
    candidates: Float[np.ndarray, "candidates _"],
    references: Float[np.ndarray, "references _"],
    n: int,
    *,
    groups: Float[np.ndarray, "candidates"] | None = None,
) -> tuple[list[int], list[float], Float[np.ndarray, "candidates"]]:
    """Greedy farthest-point sampling (Gonzalez, Theor. Comput. Sci. 38, 293 (1985)).

    Each pick is the candidate farthest from the references and from all earlier picks. Without
    references the first pick is the candidate farthest from the candidates' mean.

    Args:
        groups: what the candidates belong to, such as a temperature: groups take turns, the highest first;
            one that has nothing left is passed over. None: all are of one.

    Returns:
        The picks in order (at most `n`; none at distance zero), the distance of each when it was
        picked, and for every candidate its distance to the nearest reference or pick at the end.
    """
    if len(candidates) == 0 or n < 1:
        return [], [], nearest_distances(candidates, references)
    picks: list[int] = []
    at_pick: list[float] = []
    distance = nearest_distances(candidates, references)
    if len(references) == 0:
        picks = [int(np.linalg.norm(candidates - candidates.mean(axis=0), axis=1).argmax())]
        at_pick = [float("inf")]
        distance = np.linalg.norm(candidates - candidates[picks[0]], axis=1)
    # What rounding leaves of the difference between equal descriptors.
    zero = 1e-6 * max(1.0, float(np.abs(candidates).max()))
    for mine in islice(turns(groups, len(candidates)), len(picks), None):
        if len(picks) == n or distance.max() <= zero:
            break
        pick = int(np.where(mine, distance, -1.0).argmax())
        if distance[pick] <= zero or not mine[pick]:
            continue
        picks.append(pick)
        at_pick.append(float(distance[pick]))
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[pick], axis=1))
    return picks, at_pick, distance


def turns(
    groups: Float[np.ndarray, "candidates"] | None, n_candidates: int
) -> Iterator[Bool[np.ndarray, "candidates"]]:
    """Whose turn it is, over and over: the candidates of each group, the highest group first.

    Args:
        groups: what the candidates belong to. None: all are of one.
    """
    groups = np.zeros(n_candidates) if groups is None else groups
    return cycle([groups == group for group in np.unique(groups)[::-1]])


def nearest_distances(
    points: Float[np.ndarray, "points _"], references: Float[np.ndarray, "references _"]
) -> Float[np.ndarray, "points"]:
    """Euclidean distance of each point to the nearest reference; infinite without references."""
    if len(references) == 0:
        return np.full(len(points), np.inf)
    return np.array([np.linalg.norm(references - point, axis=1).min() for point in points])
