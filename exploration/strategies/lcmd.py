"""Candidates by largest cluster maximum distance, LCMD, in the committee's latent features.

Holzmueller, Zaverkin, Kaestner and Steinwart, J. Mach. Learn. Res. 24, 164 (2023). The features are those
that the last layer, the readout, is linear in, averaged over the atoms of each species: for frames of one
composition they are the gradients of the energy with respect to the readout's weights, up to a factor of
each species.
"""

from __future__ import annotations

from typing import Literal, final

from exploration.batch_selection import largest_cluster_farthest_points
from exploration.decisions import Decisions, Stage
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.steps import described_rows, picked_by


@final
class LargestCluster(AmongCandidates):
    """Of the largest cluster of candidates around what is known, the farthest; again and again."""

    strategy: Literal["lcmd"] = "lcmd"

    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        if not rows:
            return {}
        fresh, described, references, broken = described_rows(pool, rows, pool.training_frames)
        farthest = largest_cluster_farthest_points(described, references, n)
        reason = "{} away from the nearest training frame or pick, in the largest cluster"
        return broken | picked_by(fresh, farthest, n, stage=Stage.LARGEST_CLUSTER, reason=reason)
