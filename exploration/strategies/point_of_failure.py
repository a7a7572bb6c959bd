"""The last frames before a replica left the physical range: where the dynamics go wrong."""

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
from exploration.strategies.steps import (
    before_failure,
    completed,
    deduplicate,
    distinct_candidates,
    loud,
    most_uncertain,
)
from potential.data.config import Config


class PointOfFailure(Config):
    """Of each replica that stopped the last good frame, then the one before it; then uncertain candidates."""

    strategy: Literal["point_of_failure"] = "point_of_failure"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, band, thin, deduplicate, frames before a failure, the most uncertain, cap, quiet, fill."""
        n, tolerance_A = loud(self.frames_per_round, self.quiet_share), self.duplicate_tolerance_A
        rows, left_out = distinct_candidates(
            pool, considered=self.max_considered, tolerance_A=tolerance_A, seed=seed
        )
        picked = before_failure(pool, n, tolerance_A=tolerance_A)
        known = [pool.frames[row] for row in picked]
        rest, repeated = deduplicate(
            pool, [row for row in rows if row not in picked], known, tolerance_A=tolerance_A
        )
        others = most_uncertain(pool, rest, n - len(picked), after=len(picked))
        picked = repeated | others | picked
        return completed(
            pool,
            left_out | picked,
            self.frames_per_round,
            quiet_share=self.quiet_share,
            fill_with_accurate=self.fill_with_accurate,
            tolerance_A=tolerance_A,
            seed=seed,
        )
