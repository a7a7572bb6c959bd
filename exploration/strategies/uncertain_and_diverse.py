"""Frames that the committee is unsure of, as far apart as they can be."""

from __future__ import annotations

from typing import Literal, final

from exploration.decisions import Decisions
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.fields import ByTemperature, considered
from exploration.strategies.steps import candidates, deduplicate, farthest, physical, thin, uncertain_first


@final
class UncertainAndDiverse(AmongCandidates):
    """Farthest points among the candidates; too few of them are filled up with accurate frames."""

    strategy: Literal["uncertain_and_diverse"] = "uncertain_and_diverse"
    by_temperature: ByTemperature = True

    def considered(self, pool: Pool, seed: int) -> tuple[list[int], Decisions]:
        """Thinned in the ledger's order, so that old selections come out again."""
        usable, unphysical = physical(pool)
        inside, outside = candidates(pool, usable)
        most = considered(self.max_considered, self.frames_per_round)
        rows, thinned = thin(inside, most, called="candidates", seed=seed)
        rows, repeated = deduplicate(
            pool,
            uncertain_first(pool, rows),
            pool.training_frames,
            tolerance_A=self.duplicate_tolerance_A,
        )
        return rows, unphysical | outside | thinned | repeated

    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        return farthest(pool, rows, pool.training_frames, n, by_temperature=self.by_temperature)
