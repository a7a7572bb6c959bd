"""Frames that the committee is unsure of, as far apart as they can be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from exploration.decisions import Decided, picks
from exploration.pool import Pool
from exploration.strategies.fields import DuplicateTolerance, FramesPerRound, MaxConsidered
from exploration.strategies.steps import (
    candidates,
    deduplicate,
    farthest,
    fill,
    physical,
    shortfall,
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
    fill_with_accurate: Annotated[
        bool,
        Field(description="with too few candidates, label the most uncertain of the accurate frames too"),
    ] = True

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
        picked = farthest(pool, rows, pool.training_frames, n)
        decisions = unphysical | outside | thinned | repeated | picked
        chosen = picks(decisions)
        warnings = shortfall(len(chosen), n, called="candidates")
        if len(chosen) < n and self.fill_with_accurate:
            filled = fill(pool, chosen, n - len(chosen), tolerance_A=tolerance_A)
            decisions |= filled
            warnings += (f"filled with {len(filled)} accurate frames",)
        return Decided(decisions=decisions, warnings=warnings)
