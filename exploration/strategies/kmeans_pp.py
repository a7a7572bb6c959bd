"""Candidates drawn by their uncertainty and their distance from what is known."""

from __future__ import annotations

from typing import Literal

import numpy as np

from exploration.batch_selection import weighted_kmeans_plus_plus
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
    by_id,
    completed,
    described_rows,
    distinct_candidates,
    loud,
    picked_by,
)
from potential.data.config import Config


class WeightedKMeans(Config):
    """The seeding of k-means++ among the candidates, weighted by their uncertainty."""

    strategy: Literal["kmeans_pp"] = "kmeans_pp"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, band, thin, deduplicate, weighted draws, cap, quiet, fill."""
        n, tolerance_A = loud(self.frames_per_round, self.quiet_share), self.duplicate_tolerance_A
        rows, left_out = distinct_candidates(
            pool, considered=self.max_considered, tolerance_A=tolerance_A, seed=seed
        )
        picked: Decisions = {}
        if rows:
            fresh, described, references, broken = described_rows(
                pool, by_id(pool, rows), pool.training_frames
            )
            picked = broken | picked_by(
                fresh,
                weighted_kmeans_plus_plus(
                    described, references, pool.uncertainty[fresh], n, rng=np.random.default_rng(seed)
                ),
                n,
                stage=Stage.WEIGHTED_DRAW,
                reason="drawn by its uncertainty and its distance, {}",
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
