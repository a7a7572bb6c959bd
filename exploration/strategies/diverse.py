"""Frames as far apart as they can be, whatever the committee thinks of them."""

from __future__ import annotations

from typing import Literal

from exploration.decisions import Decided, picks
from exploration.pool import Pool
from exploration.strategies.fields import DuplicateTolerance, FramesPerRound, MaxConsidered, considered
from exploration.strategies.steps import by_id, deduplicate, farthest, physical, shortfall, thin
from potential.data.config import Config


class Diverse(Config):
    """Farthest points among all physical frames."""

    strategy: Literal["diverse"] = "diverse"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, thin, deduplicate, farthest point, cap. Only thinning is random."""
        usable, unphysical = physical(pool)
        most = considered(self.max_considered, self.frames_per_round)
        rows, thinned = thin(by_id(pool, usable), most, called="physical frames", seed=seed)
        rows, repeated = deduplicate(
            pool, by_id(pool, rows), pool.training_frames, tolerance_A=self.duplicate_tolerance_A
        )
        picked = farthest(pool, rows, pool.training_frames, self.frames_per_round)
        return Decided(
            decisions=unphysical | thinned | repeated | picked,
            warnings=shortfall(len(picks(picked)), self.frames_per_round, called="physical frames"),
        )
