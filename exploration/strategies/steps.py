"""The steps that strategies are composed of: plain functions that split rows and say why.

A step that passes rows on returns them with the decisions on those it left out. Rows are those of the
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exploration.decisions import Decision, Decisions, Stage
from exploration.diversity import duplicates, farthest_points
from exploration.pool import Pool
from exploration.verdict import Outcome
from potential.data.frame import Frame

FILL_POOL = 4
"""Accurate frames looked at for each that is missing: uncertain first, then far apart."""


def physical(pool: Pool) -> tuple[list[int], Decisions]:
    """The rows of physical frames."""
    return np.flatnonzero(pool.physical).tolist(), {
        row: Decision(
            stage=Stage.FILTER,
            reason=pool.reasons[row]
            if pool.outcomes[row] is Outcome.FAILED
            else f"not finite: max_force_disagreement {pool.disagreement[row]}",
        )
        for row in np.flatnonzero(~pool.physical).tolist()
    }


def candidates(pool: Pool, rows: Sequence[int]) -> tuple[list[int], Decisions]:
    """The rows in the band of the committee's disagreement."""
    stages = {Outcome.ACCURATE: Stage.BAND, Outcome.FAILED: Stage.FILTER}
    return [row for row in rows if pool.outcomes[row] is Outcome.CANDIDATE], {
        row: Decision(stage=stages[pool.outcomes[row]], reason=pool.reasons[row])
        for row in rows
        if pool.outcomes[row] in stages
    }


def thin(rows: Sequence[int], n: int, *, called: str, seed: int) -> tuple[list[int], Decisions]:
    """At most `n` of the rows, drawn and put in order at random; `called` what they are."""
    drawn: list[int] = np.random.default_rng(seed).permutation(np.array(rows, dtype=np.int64))[:n].tolist()
    reason = f"{len(rows)} {called}, of which {len(drawn)} were drawn at random"
    return drawn, {row: Decision(stage=Stage.THIN, reason=reason) for row in set(rows) - set(drawn)}


def uncertain_first(pool: Pool, rows: Sequence[int]) -> list[int]:
    """Rows by falling uncertainty; equal ones as the ledger has them."""
    return sorted(rows, key=lambda row: (-pool.uncertainty[row], row))


def by_id(pool: Pool, rows: Sequence[int]) -> list[int]:
    """Rows in an order that depends neither on the ledger's nor on the committee."""
    return sorted(rows, key=lambda row: pool.frames[row].id)


def deduplicate(
    pool: Pool, rows: Sequence[int], known: Sequence[Frame], *, tolerance_A: float
) -> tuple[list[int], Decisions]:
    """Rows that repeat neither a known frame nor one that comes before them."""
    repeated = duplicates([pool.frames[row] for row in rows], known, tolerance_A=tolerance_A)
    return [row for i, row in enumerate(rows) if i not in repeated], {
        rows[i]: Decision(
            stage=Stage.DUPLICATE,
            reason=f"distances differ by at most {difference:.2g} Å from frame {original.id}",
        )
        for i, (original, difference) in repeated.items()
    }


def farthest(pool: Pool, rows: Sequence[int], known: Sequence[Frame], n: int) -> Decisions:
    """Pick the `n` rows that are farthest, in descriptors, from known frames and from each other.

    Raises:
        ValueError: where the descriptor of a known frame is not finite.
    """
    if not rows:
        return {}
    described, references = pool.descriptors([pool.frames[row] for row in rows]), pool.descriptors(known)
    if not np.isfinite(references).all():
        raise ValueError("descriptors of frames already known are not finite; the committee is broken")
    finite = np.isfinite(described).all(axis=1)
    decisions = {
        rows[i]: Decision(stage=Stage.FILTER, reason="its descriptor is not finite")
        for i in np.flatnonzero(~finite).tolist()
    }
    fresh = [rows[i] for i in np.flatnonzero(finite).tolist()]
    chosen, at_pick, left = farthest_points(described[finite], references, n)
    for i in sorted(set(range(len(fresh))) - set(chosen)):
        decisions[fresh[i]] = (
            Decision(
                stage=Stage.CAP,
                reason=f"{left[i]:.3g} away from the nearest training frame or pick, too near to be among "
                f"the {n} farthest",
                distance=float(left[i]),
            )
            if len(chosen) == n
            else Decision(
                stage=Stage.DUPLICATE,
                reason="its descriptor equals that of a training frame or of a pick",
                distance=float(left[i]),
            )
        )
    for rank, (i, distance) in enumerate(zip(chosen, at_pick, strict=True), start=1):
        decisions[fresh[i]] = Decision(
            stage=Stage.FARTHEST_POINT,
            reason=f"{distance:.3g} away from the nearest training frame or earlier pick",
            rank=rank,
            distance=distance,
        )
    return decisions


def draw(rows: Sequence[int], n: int, reason: str) -> Decisions:
    """Pick the first `n` rows, whose order is random; cap the rest."""
    over = Decision(stage=Stage.CAP, reason=f"not among the first {n} that were drawn at random")
    drawn = {row: Decision(stage=Stage.DRAW, reason=reason, rank=i + 1) for i, row in enumerate(rows[:n])}
    return drawn | dict.fromkeys(rows[n:], over)


def fill(pool: Pool, chosen: Sequence[int], n: int, *, tolerance_A: float) -> Decisions:
    """Up to `n` accurate frames on top of the chosen rows: the most uncertain, and of these the farthest."""
    accurate = [r for r in np.flatnonzero(pool.physical).tolist() if pool.outcomes[r] is Outcome.ACCURATE]
    known = [*pool.training_frames, *(pool.frames[row] for row in chosen)]
    rows = uncertain_first(pool, accurate)[: FILL_POOL * n]
    rows, _ = deduplicate(pool, rows, known, tolerance_A=tolerance_A)
    return {
        row: Decision(
            stage=Stage.FILL,
            reason=f"too few candidates; accurate, but among the most uncertain; {decision.reason}",
            rank=len(chosen) + decision.rank,
            distance=decision.distance,
        )
        for row, decision in farthest(pool, rows, known, n).items()
        if decision.rank is not None
    }


def shortfall(found: int, wanted: int, *, called: str) -> tuple[str, ...]:
    """A warning where fewer frames were found than a round may label."""
    return () if found >= wanted else (f"only {found} {called} worth a label for the {wanted} of this round",)
