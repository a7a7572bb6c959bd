"""The steps that strategies are composed of: plain functions that split rows and say why.

A step that passes rows on returns them with the decisions on those it left out. Rows are those of the
ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exploration.decisions import Decided, Decision, Decisions, Stage, picks
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


def farthest(
    pool: Pool, rows: Sequence[int], known: Sequence[Frame], n: int, *, by_temperature: bool = False
) -> Decisions:
    """Pick the `n` rows that are farthest, in descriptors, from known frames and from each other.

    Args:
        by_temperature: the rungs of the exploration's ladder take turns, the hottest first.

    Raises:
        ValueError: where the descriptor of a known frame is not finite.
    """
    if not rows:
        return {}
    fresh, described, references, broken = described_rows(pool, rows, known)
    rungs = pool.rungs[fresh] if by_temperature else None
    chosen, at_pick, left = farthest_points(described, references, n, groups=rungs)
    decisions = broken
    for i in sorted(set(range(len(fresh))) - set(chosen)):
        decisions[fresh[i]] = (
            Decision(
                stage=Stage.CAP,
                reason=f"{left[i]:.3g} away from the nearest training frame or pick, too near to be among "
                f"the {n} farthest",
                distance=float(left[i]),
            )
            if len(chosen) == n
            else _equal(float(left[i]))
        )
    for rank, (i, distance) in enumerate(zip(chosen, at_pick, strict=True), start=1):
        decisions[fresh[i]] = Decision(
            stage=Stage.FARTHEST_POINT,
            reason=f"{distance:.3g} away from the nearest training frame or earlier pick",
            rank=rank,
            distance=distance,
        )
    return decisions


def described_rows(
    pool: Pool, rows: Sequence[int], known: Sequence[Frame]
) -> tuple[list[int], np.ndarray, np.ndarray, Decisions]:
    """Rows with a finite descriptor, their descriptors, those of known frames, decisions on the others.

    Raises:
        ValueError: where the descriptor of a known frame is not finite.
    """
    described, references = pool.descriptors([pool.frames[row] for row in rows]), pool.descriptors(known)
    if not np.isfinite(references).all():
        raise ValueError("descriptors of frames already known are not finite; the committee is broken")
    finite = np.isfinite(described).all(axis=1)
    broken = {
        rows[i]: Decision(stage=Stage.FILTER, reason="its descriptor is not finite")
        for i in np.flatnonzero(~finite).tolist()
    }
    return [rows[i] for i in np.flatnonzero(finite).tolist()], described[finite], references, broken


def picked_by(
    fresh: Sequence[int], picked: tuple[list[int], list[float]], n: int, *, stage: Stage, reason: str
) -> Decisions:
    """Decisions on `fresh` rows from picks among them and their distances; `reason` has a {} for one."""
    chosen, at_pick = picked
    over = (
        Decision(stage=Stage.CAP, reason=f"not among the {n} that were picked")
        if len(chosen) == n
        else _equal(0.0)
    )
    decisions = dict.fromkeys(fresh, over)
    for rank, (i, distance) in enumerate(zip(chosen, at_pick, strict=True), start=1):
        said = reason.format(f"{distance:.3g}")
        decisions[fresh[i]] = Decision(stage=stage, reason=said, rank=rank, distance=distance)
    return decisions


def _equal(distance: float) -> Decision:
    return Decision(
        stage=Stage.DUPLICATE,
        reason="its descriptor equals that of a training frame or of a pick",
        distance=distance,
    )


def before_failure(pool: Pool, n: int, *, tolerance_A: float) -> Decisions:
    """Up to `n` rows: of each replica that stopped the last frame that was not failed, then the one before.

    There the committee still has a say, and a few steps later the dynamics went wrong. Replicas take turns,
    those that stopped first come first.
    """
    records, good = pool.exploration.records, pool.physical
    lines: list[list[int]] = []
    for _, mine in records.groupby(["replica", "bath_temperature_K"]):
        rows = sorted(mine.index.tolist(), key=lambda row: (records["step"][row], pool.frames[row].id))
        if rows and not good[rows[-1]]:
            usable = [row for row in rows if good[row] and pool.outcomes[row] is not Outcome.FAILED]
            lines.append(usable[::-1][: max(1, n)])
    lines.sort(key=lambda line: (records["step"][line[0]], pool.frames[line[0]].id) if line else (-1, ""))
    turns = [line[i] for i in range(max(map(len, lines), default=0)) for line in lines if i < len(line)]
    rows, _ = deduplicate(pool, turns, pool.training_frames, tolerance_A=tolerance_A)
    return {
        row: Decision(
            stage=Stage.FAILURE,
            reason=f"replica {records['replica'][row]} stopped soon after; {pool.reasons[row]}",
            rank=i,
        )
        for i, row in enumerate(rows[:n], start=1)
    }


def most_uncertain(pool: Pool, rows: Sequence[int], n: int, *, after: int = 0) -> Decisions:
    """Pick the first `n` rows, which come by falling uncertainty; cap the rest. Ranks begin after `after`."""
    ranked = {
        row: Decision(stage=Stage.TOP, reason=f"uncertainty {pool.uncertainty[row]:.3g} eV/Å", rank=after + i)
        for i, row in enumerate(rows[:n], start=1)
    }
    over = {
        row: Decision(
            stage=Stage.CAP, reason=f"uncertainty {pool.uncertainty[row]:.3g} eV/Å, not among the first {n}"
        )
        for row in rows[n:]
    }
    return ranked | over


def distinct_candidates(
    pool: Pool, *, considered: int, tolerance_A: float, seed: int
) -> tuple[list[int], Decisions]:
    """Physical frames in the band that repeat nothing, the most uncertain first."""
    usable, unphysical = physical(pool)
    inside, outside = candidates(pool, usable)
    rows, thinned = thin(by_id(pool, inside), considered, called="candidates", seed=seed)
    rows, repeated = deduplicate(
        pool, uncertain_first(pool, by_id(pool, rows)), pool.training_frames, tolerance_A=tolerance_A
    )
    return rows, unphysical | outside | thinned | repeated


def loud(n: int, quiet_share: float) -> int:
    """How many of `n` labels are left for uncertain frames."""
    return n - round(quiet_share * n)


def completed(
    pool: Pool,
    decisions: Decisions,
    n: int,
    *,
    quiet_share: float,
    fill_with_accurate: bool,
    tolerance_A: float,
    seed: int,
) -> Decided:
    """The decisions on candidates, with the share of quiet frames and what fills the round up to `n`."""
    chosen = picks(decisions)
    wanted = loud(n, quiet_share)
    warnings = shortfall(len(chosen), wanted, called="candidates")
    decisions = decisions | quiet(pool, chosen, n - wanted, tolerance_A=tolerance_A, seed=seed)
    chosen = picks(decisions)
    if len(chosen) < n and fill_with_accurate:
        filled = fill(pool, chosen, n - len(chosen), tolerance_A=tolerance_A)
        decisions |= filled
        warnings += (f"filled with {len(filled)} accurate frames",)
    elif len(chosen) < n and not warnings:
        warnings = shortfall(len(chosen), n, called="frames")
    return Decided(decisions=decisions, warnings=warnings)


def quiet(pool: Pool, chosen: Sequence[int], n: int, *, tolerance_A: float, seed: int) -> Decisions:
    """Up to `n` frames on which the committee agrees, drawn at random, on top of the chosen rows."""
    if n < 1:
        return {}
    accurate = [r for r in np.flatnonzero(pool.physical).tolist() if pool.outcomes[r] is Outcome.ACCURATE]
    rows, _ = thin(by_id(pool, accurate), FILL_POOL * n, called="accurate frames", seed=seed)
    known = [*pool.training_frames, *(pool.frames[row] for row in chosen)]
    rows, _ = deduplicate(pool, rows, known, tolerance_A=tolerance_A)
    return {
        row: Decision(
            stage=Stage.QUIET,
            reason=f"drawn at random from {len(accurate)} accurate frames; {pool.reasons[row]}",
            rank=len(chosen) + i,
        )
        for i, row in enumerate(rows[:n], start=1)
    }


def draw(rows: Sequence[int], n: int, reason: str) -> Decisions:
    """Pick the first `n` rows, whose order is random; cap the rest."""
    over = Decision(stage=Stage.CAP, reason=f"not among the first {n} that were drawn at random")
    drawn = {row: Decision(stage=Stage.DRAW, reason=reason, rank=i + 1) for i, row in enumerate(rows[:n])}
    return drawn | dict.fromkeys(rows[n:], over)


def fill(pool: Pool, chosen: Sequence[int], n: int, *, tolerance_A: float) -> Decisions:
    """Up to `n` accurate frames on top of the chosen rows: the most uncertain, and of these the farthest."""
    accurate = [
        row
        for row in np.flatnonzero(pool.physical).tolist()
        if pool.outcomes[row] is Outcome.ACCURATE and row not in set(chosen)
    ]
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
