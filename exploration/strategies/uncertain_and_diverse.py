"""Frames that the committee is unsure of, as far apart as they can be."""

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
    candidates,
    completed,
    deduplicate,
    farthest,
    loud,
    physical,
    thin,
    uncertain_first,
)
from potential.data.config import Config


class UncertainAndDiverse(Config):
    """Farthest points among the candidates; too few of them are filled up with accurate frames."""

    strategy: Literal["uncertain_and_diverse"] = "uncertain_and_diverse"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, band, thin, deduplicate, farthest point, cap, fill.

        The most uncertain of near-duplicates stays. Only thinning is random.
        """
        n, tolerance_A = self.frames_per_round, self.duplicate_tolerance_A
        usable, unphysical = physical(pool)
        inside, outside = candidates(pool, usable)
        rows, thinned = thin(inside, self.max_considered, called="candidates", seed=seed)
        rows, repeated = deduplicate(
            pool, uncertain_first(pool, rows), pool.training_frames, tolerance_A=tolerance_A
        )
        picked = farthest(pool, rows, pool.training_frames, loud(n, self.quiet_share))
        return completed(
            pool,
            unphysical | outside | thinned | repeated | picked,
            n,
            quiet_share=self.quiet_share,
            fill_with_accurate=self.fill_with_accurate,
            tolerance_A=tolerance_A,
            seed=seed,
        )
