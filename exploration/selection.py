"""Which frames are worth a label: what a strategy decided, as a table and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from exploration.decisions import Decision, picks
from exploration.ledger import Exploration
from exploration.pool import Descriptors, Pool
from exploration.strategies import Strategy
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames
from potential.data.tables import read_table


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The result of `select`.

    Attributes:
        frames: to be labelled, in the order they were picked.
        table: one row per recorded frame, in the ledger's order: frame_id, replica, step,
            bath_temperature_K, max_force_disagreement, verdict, decision (selected, rejected), stage
            (a `Stage`; a table of another version may have others), reason, rank (from 1, where
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
        table = read_table(folder / "selection.csv", needs=("frame_id", "rank", "distance"))
        table = table.astype({"rank": "Int64", "distance": "float64"})
        return cls(frames=tuple(frames), table=table, warnings=tuple(warnings))


def select(
    exploration: Exploration,
    *,
    descriptors: Descriptors,
    training_frames: Sequence[Frame],
    strategy: Strategy,
    seed: int,
) -> Selection:
    """Pick at most `strategy.frames_per_round` frames for labelling.

    Args:
        exploration: the ledger and its frames.
        descriptors: one invariant vector per frame, such as `Evaluator.descriptors`.
        training_frames: what has labels already; nothing near them is picked.
        strategy: how many, and which.
        seed: of everything random in the strategy.

    Raises:
        ValueError: where `descriptors` does not give one finite vector per known frame.
    """
    pool = Pool.of(exploration, training_frames=training_frames, descriptors=descriptors)
    decided = strategy.decide(pool, seed=seed)
    chosen = picks(decided.decisions)
    ranks = [decided.decisions[row].rank for row in chosen]
    assert set(decided.decisions) == set(range(len(pool.frames))), f"a decision for every row: {strategy}"
    assert ranks == list(range(1, len(ranks) + 1)), f"ranks from 1 without a gap: {strategy}"
    return Selection(
        frames=tuple(pool.frames[row] for row in chosen),
        table=_table(exploration.records, decided.decisions),
        warnings=decided.warnings,
    )


def _table(records: pd.DataFrame, decisions: Mapping[int, Decision]) -> pd.DataFrame:
    table = records[
        ["frame_id", "replica", "step", "bath_temperature_K", "max_force_disagreement", "verdict"]
    ].copy()
    made = [decisions[row] for row in range(len(table))]
    texts = {
        "decision": ["selected" if d.stage.selects else "rejected" for d in made],
        "stage": [d.stage.value for d in made],
        "reason": [d.reason for d in made],
    }
    for column, values in texts.items():
        table[column] = pd.Series(values, index=table.index, dtype=str)
    table["rank"] = pd.array([d.rank for d in made], dtype="Int64")
    table["distance"] = pd.Series([d.distance for d in made], index=table.index, dtype="float64")
    return table
