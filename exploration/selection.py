"""Which frames are worth a label: filter, band, thin, deduplicate, farthest point, cap, in this order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from exploration.diversity import duplicates, farthest_points
from exploration.ledger import Exploration, read_table
from exploration.settings import SelectionConfig
from exploration.verdict import Outcome
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames

Descriptors = Callable[[Sequence[Frame]], np.ndarray]

FILL_POOL = 4
"""Accurate frames looked at for each that is missing: uncertain first, then far apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The result of `select`.

    Attributes:
        frames: to be labelled, in the order they were picked.
        table: one row per recorded frame, in the ledger's order: frame_id, replica, step,
            bath_temperature_K, max_force_disagreement, verdict, decision (selected, rejected), stage
            (filter, band, thin, duplicate, farthest_point, cap, fill), reason, rank (from 1, where
            selected), distance (in descriptors, where it was measured).
        warnings: what a user should know, such as a round that could not be filled.
    """

    frames: tuple[Frame, ...]
    table: pd.DataFrame
    warnings: tuple[str, ...] = ()

    def save(self, folder: str | Path) -> None:
        """Write selection.csv, selected.extxyz and warnings.txt."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_frames(folder / "selected.extxyz", self.frames)
        self.table.to_csv(folder / "selection.csv", index=False)
        (folder / "warnings.txt").write_text("".join(f"{w}\n" for w in self.warnings), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Selection:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: where a file is missing.
        """
        folder = Path(folder)
        chosen = folder / "selected.extxyz"
        frames = read_frames(chosen, check=False) if chosen.stat().st_size else []
        warnings = (folder / "warnings.txt").read_text(encoding="utf-8").splitlines()
        table = read_table(folder / "selection.csv").astype({"rank": "Int64", "distance": "float64"})
        return cls(frames=tuple(frames), table=table, warnings=tuple(warnings))


def select(
    exploration: Exploration,
    *,
    descriptors: Descriptors,
    training_frames: Sequence[Frame],
    config: SelectionConfig,
    seed: int,
) -> Selection:
    """Pick at most `config.frames_per_round` frames for labelling.

    Args:
        exploration: the ledger and its frames.
        descriptors: one invariant vector per frame, such as `Evaluator.descriptors`.
        training_frames: what has labels already; nothing near them is picked.
        config: how many, how different.
        seed: of the random thinning; the rest is deterministic.

    Raises:
        ValueError: where `descriptors` does not give one vector per frame.
    """
    records, frames = exploration.records, exploration.frames
    verdicts, training = records["verdict"], list(training_frames)
    decisions = {
        row: Decision(stage="filter" if verdicts.iloc[row] == Outcome.FAILED else "band", reason=str(reason))
        for row, reason in enumerate(records["reason"])
    }
    candidates = np.flatnonzero(verdicts == Outcome.CANDIDATE)
    rows = np.random.default_rng(seed).permutation(candidates)[: config.max_considered]
    thinned = f"{len(candidates)} candidates, of which {len(rows)} were drawn at random"
    decisions |= {row: Decision(stage="thin", reason=thinned) for row in candidates.tolist()}
    decisions |= _diversify(_uncertain_first(rows, records), frames, training, descriptors, config)
    chosen = _chosen(decisions)
    warnings = []
    if missing := config.frames_per_round - len(chosen):
        warnings.append(
            f"only {len(chosen)} candidates worth a label for the {config.frames_per_round} of this round"
        )
    if missing and config.fill_with_accurate:
        accurate = _uncertain_first(np.flatnonzero(verdicts == Outcome.ACCURATE), records)
        known = training + [frames[row] for row in chosen]
        wanted = config.model_copy(update={"frames_per_round": missing})
        filled = _diversify(accurate[: FILL_POOL * missing], frames, known, descriptors, wanted)
        decisions |= {
            row: replace(
                decision,
                stage="fill",
                rank=len(chosen) + decision.rank,
                reason=f"too few candidates; accurate, but among the most uncertain; {decision.reason}",
            )
            for row, decision in filled.items()
            if decision.rank is not None
        }
        warnings.append(f"filled with {len(_chosen(decisions)) - len(chosen)} accurate frames")
    chosen = _chosen(decisions)
    return Selection(
        frames=tuple(frames[row] for row in chosen),
        table=_table(records, decisions),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """On one recorded frame; selected if it has a rank."""

    stage: str
    reason: str
    rank: int | None = None
    distance: float = float("nan")


def _diversify(
    rows: Sequence[int],
    frames: Sequence[Frame],
    known: Sequence[Frame],
    descriptors: Descriptors,
    config: SelectionConfig,
) -> dict[int, Decision]:
    """Deduplicate `rows` against `known` and one another, then take the farthest points; cap."""
    if not rows:
        return {}
    repeated = duplicates([frames[r] for r in rows], known, tolerance_A=config.duplicate_tolerance_A)
    decisions = {
        rows[i]: Decision(
            stage="duplicate",
            reason=f"distances differ by at most {difference:.2g} Å from frame {original.id}",
        )
        for i, (original, difference) in repeated.items()
    }
    fresh = [row for i, row in enumerate(rows) if i not in repeated]
    points, references = _describe(descriptors, [frames[r] for r in fresh]), _describe(descriptors, known)
    if not np.isfinite(references).all():
        raise ValueError("descriptors of frames already known are not finite; the committee is broken")
    finite = np.isfinite(points).all(axis=1) if fresh else np.zeros(0, dtype=bool)
    for row in [row for row, good in zip(fresh, finite, strict=True) if not good]:
        decisions[row] = Decision(stage="filter", reason="its descriptor is not finite")
    fresh = [row for row, good in zip(fresh, finite, strict=True) if good]
    picks, at_pick, left = farthest_points(points[finite], references, config.frames_per_round)
    full = len(picks) == config.frames_per_round
    for i in sorted(set(range(len(fresh))) - set(picks)):
        decisions[fresh[i]] = Decision(
            stage="cap" if full else "duplicate",
            reason=f"{left[i]:.3g} away from the nearest training frame or pick, too near to be among the "
            f"{len(picks)} farthest"
            if full
            else "its descriptor equals that of a training frame or of a pick",
            distance=float(left[i]),
        )
    for rank, (i, distance) in enumerate(zip(picks, at_pick, strict=True), start=1):
        decisions[fresh[i]] = Decision(
            stage="farthest_point",
            reason=f"{distance:.3g} away from the nearest training frame or earlier pick",
            rank=rank,
            distance=distance,
        )
    return decisions


def _describe(descriptors: Descriptors, frames: Sequence[Frame]) -> Float[np.ndarray, "frames features"]:
    if not frames:
        return np.zeros((0, 0))
    matrix = np.asarray(descriptors(frames), dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != len(frames):
        raise ValueError(
            f"descriptors of {len(frames)} frames have shape {matrix.shape}, expected one row each"
        )
    return matrix


def _uncertain_first(rows: np.ndarray, records: pd.DataFrame) -> list[int]:
    worst = records["max_force_disagreement"].to_numpy()
    return sorted(rows.tolist(), key=lambda row: (-worst[row], row))


def _chosen(decisions: dict[int, Decision]) -> list[int]:
    ranked = {row: d.rank for row, d in decisions.items() if d.rank is not None}
    return sorted(ranked, key=ranked.__getitem__)


def _table(records: pd.DataFrame, decisions: dict[int, Decision]) -> pd.DataFrame:
    table = records[
        ["frame_id", "replica", "step", "bath_temperature_K", "max_force_disagreement", "verdict"]
    ].copy()
    made = [decisions[row] for row in range(len(table))]
    table["decision"] = ["rejected" if d.rank is None else "selected" for d in made]
    table["stage"] = [d.stage for d in made]
    table["reason"] = [d.reason for d in made]
    table["rank"] = pd.array([d.rank for d in made], dtype="Int64")
    table["distance"] = [d.distance for d in made]
    return table
