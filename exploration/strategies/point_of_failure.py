"""The last frames before a replica left the physical range: where the dynamics go wrong."""

from __future__ import annotations

from typing import Literal, final

from exploration.decisions import Decisions
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.steps import before_failure, deduplicate, most_uncertain


@final
class PointOfFailure(AmongCandidates):
    """Of each replica that stopped the last good frame, then the one before it; then uncertain candidates."""

    strategy: Literal["point_of_failure"] = "point_of_failure"

    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        tolerance_A = self.duplicate_tolerance_A
        picked = before_failure(pool, n, tolerance_A=tolerance_A)
        known = [pool.frames[row] for row in picked]
        others = [row for row in rows if row not in picked]
        rest, repeated = deduplicate(pool, others, known, tolerance_A=tolerance_A)
        return repeated | most_uncertain(pool, rest, n - len(picked), after=len(picked)) | picked
