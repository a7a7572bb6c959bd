"""The frames that the committee is least sure of, whatever they look like."""

from __future__ import annotations

from typing import Literal, final

from exploration.decisions import Decisions
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.steps import most_uncertain


@final
class Uncertain(AmongCandidates):
    """The most uncertain candidates: the classical query by committee, which may ask the same thing often."""

    strategy: Literal["uncertain"] = "uncertain"

    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        return most_uncertain(pool, rows, n)
