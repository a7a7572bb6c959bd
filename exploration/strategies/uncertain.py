"""The frames that the committee is least sure of, whatever they look like."""

from __future__ import annotations

from typing import Literal

from exploration.decisions import Decided
from exploration.pool import Pool
from exploration.strategies.fields import (
    DuplicateTolerance,
    FillWithAccurate,
    FramesPerRound,
    MaxConsidered,
    QuietShare,
)
from exploration.strategies.steps import completed, distinct_candidates, loud, most_uncertain
from potential.data.config import Config


class Uncertain(Config):
    """The most uncertain candidates: the classical query by committee, which may ask the same thing often."""

    strategy: Literal["uncertain"] = "uncertain"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, band, thin, deduplicate, the most uncertain, cap, quiet, fill."""
        n, tolerance_A = loud(self.frames_per_round, self.quiet_share), self.duplicate_tolerance_A
        rows, left_out = distinct_candidates(
            pool, considered=self.max_considered, tolerance_A=tolerance_A, seed=seed
        )
        picked = most_uncertain(pool, rows, n)
        return completed(
            pool,
            left_out | picked,
            self.frames_per_round,
            quiet_share=self.quiet_share,
            fill_with_accurate=self.fill_with_accurate,
            tolerance_A=tolerance_A,
            seed=seed,
        )
