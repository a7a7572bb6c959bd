"""Frames at random: what any other strategy has to beat."""

from __future__ import annotations

from typing import Literal

from exploration.decisions import Decided, picks
from exploration.pool import Pool
from exploration.strategies.fields import DuplicateTolerance, FramesPerRound, MaxConsidered, considered
from exploration.strategies.steps import by_id, deduplicate, draw, physical, shortfall, thin
from potential.data.config import Config


class RandomDraw(Config):
    """Uniform over all physical frames; a draw that repeats a labelled or drawn frame is drawn again."""

    strategy: Literal["random"] = "random"
    frames_per_round: FramesPerRound = 8
    duplicate_tolerance_A: DuplicateTolerance = 0.05
    max_considered: MaxConsidered = 1000

    def decide(self, pool: Pool, *, seed: int) -> Decided:
        """Filter, thin, deduplicate, draw, cap."""
        usable, unphysical = physical(pool)
        most = considered(self.max_considered, self.frames_per_round)
        rows, thinned = thin(by_id(pool, usable), most, called="physical frames", seed=seed)
        rows, repeated = deduplicate(pool, rows, pool.training_frames, tolerance_A=self.duplicate_tolerance_A)
        drawn = draw(rows, self.frames_per_round, f"drawn at random from {len(usable)} physical frames")
        return Decided(
            decisions=unphysical | thinned | repeated | drawn,
            warnings=shortfall(len(picks(drawn)), self.frames_per_round, called="physical frames"),
        )
