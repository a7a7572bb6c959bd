"""What strategies have in common that choose among the candidates: settings, and what is before and after."""

from __future__ import annotations

from abc import abstractmethod

from exploration.decisions import Decided, Decisions
from exploration.pool import Pool
from exploration.strategies.fields import (
    DuplicateTolerance,
    FillWithAccurate,
    FramesPerRound,
    MaxConsidered,
    QuietShare,
    considered,
)
from exploration.strategies.steps import completed, distinct_candidates, loud
from potential.data.config import Config


class AmongCandidates(Config):
    """Filter, band, thin, deduplicate; then what the strategy picks; then quiet frames and what fills up."""

    strategy: str
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000
    fill_with_accurate: FillWithAccurate = True
    quiet_share: QuietShare = 0.0

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Judge every row of the pool. Ties and thinning are as the seed has them."""
        rows, left_out = self.considered(pool, seed)
        picked = self.pick(pool, rows, loud(self.frames_per_round, self.quiet_share), seed)
        return completed(
            pool,
            left_out | picked,
            self.frames_per_round,
            quiet_share=self.quiet_share,
            fill_with_accurate=self.fill_with_accurate,
            tolerance_A=self.duplicate_tolerance_A,
            seed=seed,
        )

    def considered(self, pool: Pool, seed: int) -> tuple[list[int], Decisions]:
        """The candidates to choose from, the most uncertain first, and decisions on all other rows."""
        return distinct_candidates(
            pool,
            considered=considered(self.max_considered, self.frames_per_round),
            tolerance_A=self.duplicate_tolerance_A,
            seed=seed,
        )

    @abstractmethod
    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        """Decisions on the `rows`, which may be none, of which at most `n` are picked."""
