"""Candidates by largest cluster maximum distance, LCMD, in the committee's latent features.

Holzmueller, Zaverkin, Kaestner and Steinwart, J. Mach. Learn. Res. 24, 164 (2023). The features are those
that the last layer, the readout, is linear in, averaged over the atoms of each species: for frames of one
composition they are the gradients of the energy with respect to the readout's weights, up to a factor of
each species.
"""

from __future__ import annotations

from typing import Literal

from exploration.batch_selection import largest_cluster_farthest_points
from exploration.decisions import Decided, Decisions, Stage
from exploration.pool import Pool
from exploration.strategies.fields import (
    DuplicateTolerance,
    FillWithAccurate,
    FramesPerRound,
    MaxConsidered,
    QuietShare,
)
from exploration.strategies.steps import (
    completed,
    described_rows,
    distinct_candidates,
    loud,
    picked_by,
)
from potential.data.config import Config


class LargestCluster(Config):
    """Of the largest cluster of candidates around what is known, the farthest; again and again."""

    strategy: Literal["lcmd"] = "lcmd"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, band, thin, deduplicate, largest cluster, cap, quiet, fill."""
        n, tolerance_A = loud(self.frames_per_round, self.quiet_share), self.duplicate_tolerance_A
        rows, left_out = distinct_candidates(
            pool, considered=self.max_considered, tolerance_A=tolerance_A, seed=seed
        )
        picked: Decisions = {}
        if rows:
            fresh, described, references, broken = described_rows(pool, rows, pool.training_frames)
            picked = broken | picked_by(
                fresh,
                largest_cluster_farthest_points(described, references, n),
                n,
                stage=Stage.LARGEST_CLUSTER,
                reason="{} away from the nearest training frame or pick, in the largest cluster",
            )
        return completed(
            pool,
            left_out | picked,
            self.frames_per_round,
            quiet_share=self.quiet_share,
            fill_with_accurate=self.fill_with_accurate,
            tolerance_A=tolerance_A,
            seed=seed,
        )
