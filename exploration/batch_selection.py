"""Batches that are uncertain, diverse and typical at once: what the literature picks them by."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from exploration.diversity import nearest_distances, turns


def largest_cluster_farthest_points(
    candidates: Float[np.ndarray, "candidates _"], references: Float[np.ndarray, "references _"], n: int
) -> tuple[list[int], list[float]]:
    """Largest cluster maximum distance, LCMD-TP.

    Holzmueller et al., J. Mach. Learn. Res. 24, 164 (2023). Centres are the references and all picks. Each
    candidate belongs to its nearest centre c, and the cluster with the largest s(c) = sum_x d(x, c)^2 gives
    its farthest member: unlike farthest points, a crowd of unknown frames counts more than one outlier.
    Without references the first pick is the candidate farthest from the candidates' mean. Ties go to the
    smaller index.

    Returns:
        The picks in order (at most `n`; none at distance zero), and the distance of each from its centre
        when it was picked.
    """
    picks: list[int] = []
    at_pick: list[float] = []
    if not len(candidates) or n < 1:
        return picks, at_pick
    zero = 1e-6 * max(1.0, float(np.abs(candidates).max()))  # what rounding leaves of equal descriptors
    if len(references):
        apart = np.stack([np.linalg.norm(references - point, axis=1) for point in candidates])
        centre, distance = apart.argmin(axis=1), apart.min(axis=1)
    else:
        picks = [int(np.linalg.norm(candidates - candidates.mean(axis=0), axis=1).argmax())]
        at_pick = [float("inf")]
        centre = np.zeros(len(candidates), dtype=np.int64)
        distance = np.linalg.norm(candidates - candidates[picks[0]], axis=1)
    next_centre = max(len(references), 1)
    while len(picks) < min(n, len(candidates)) and distance.max() > zero:
        size = np.bincount(centre, weights=distance**2, minlength=next_centre)
        inside = centre == int(size.argmax())
        pick = int(np.where(inside, distance, -1.0).argmax())
        picks.append(pick)
        at_pick.append(float(distance[pick]))
        to_pick = np.linalg.norm(candidates - candidates[pick], axis=1)
        nearer = to_pick < distance
        centre = np.where(nearer, next_centre, centre)
        distance = np.minimum(distance, to_pick)
        next_centre += 1
    return picks, at_pick


def weighted_kmeans_plus_plus(
    candidates: Float[np.ndarray, "candidates _"],
    references: Float[np.ndarray, "references _"],
    weights: Float[np.ndarray, "candidates"],
    n: int,
    *,
    rng: np.random.Generator,
    groups: Float[np.ndarray, "candidates"] | None = None,
) -> tuple[list[int], list[float]]:
    """Draw points with probability proportional to (w d)^2: weight w, distance d to what is known.

    The seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007), weighted as in BADGE, where the length
    of a gradient, hence every distance, grows with the uncertainty (Ash et al., ICLR 2020). Without
    references the first pick is drawn by its weight alone.

    Args:
        groups: what the candidates belong to, such as a temperature: groups take turns, the highest first;
            one that has nothing left is passed over. None: all are of one.

    Returns:
        As `largest_cluster_farthest_points`.
    """
    picks: list[int] = []
    at_pick: list[float] = []
    if not len(candidates) or n < 1:
        return picks, at_pick
    zero = 1e-6 * max(1.0, float(np.abs(candidates).max()))
    distance = nearest_distances(candidates, references)
    for mine in turns(groups, len(candidates)):
        if len(picks) == n or not (distance > zero).any():
            break
        near = np.where(mine & (distance > zero), distance, 0.0)
        chance = mine * weights**2 if np.isinf(distance).all() else (weights * near) ** 2
        if not chance.sum() > 0:
            chance = (near > 0).astype(np.float64)  # certain of all of them: the weights say nothing
        if not chance.sum() > 0:
            continue
        pick = int(rng.choice(len(candidates), p=chance / chance.sum()))
        picks.append(pick)
        at_pick.append(float(distance[pick]))
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[pick], axis=1))
    return picks, at_pick
