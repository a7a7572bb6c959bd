"""Frames that the committee is unsure of, as far apart as they can be."""

from __future__ import annotations

from typing import Annotated, Literal, final

from pydantic import Field

from exploration.decisions import Decisions
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.fields import considered
from exploration.strategies.steps import candidates, deduplicate, farthest, physical, thin, uncertain_first


@final
class UncertainAndDiverse(AmongCandidates):
    """Farthest points among the candidates; too few of them are filled up with accurate frames."""

    strategy: Literal["uncertain_and_diverse"] = "uncertain_and_diverse"
    by_temperature: Annotated[
        bool,
        Field(
            description="the rungs of the temperature ladder take turns; else nearly all labels are of the "
            "hottest, which costs accuracy at the others"
        ),
    ] = True

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
