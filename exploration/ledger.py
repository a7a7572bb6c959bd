"""What an exploration found: every recorded frame with its scores and verdict, and how replicas fared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from exploration.verdict import Outcome
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames
from potential.data.tables import read_table

_FILES = {
    Outcome.ACCURATE: "accurate.extxyz",
    Outcome.CANDIDATE: "candidates.extxyz",
    Outcome.FAILED: "failed.extxyz",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Exploration:
    """The result of `explore`.

    Attributes:
        records: the ledger, one row per recorded frame: frame_id, replica, step, time_fs,
            bath_temperature_K, the fields of `FrameScores`, verdict, reason, physical (bool; missing in
            ledgers of older versions).
        frames: the recorded frames, in the order of `records`.
        replicas: one row per replica: replica, start_frame_id, formula, bath_temperature_K, steps,
            time_fs, survived, mean_temperature_K (over its records), accurate, candidate, failed,
            stop_reason ("" for survivors).
    """

    records: pd.DataFrame
    frames: tuple[Frame, ...]
    replicas: pd.DataFrame

    @property
    def counts(self) -> dict[str, int]:
        """Recorded frames by verdict: accurate, candidate, failed."""
        return {str(outcome): int((self.records["verdict"] == outcome).sum()) for outcome in Outcome}

    @property
    def physical(self) -> Bool[np.ndarray, "frames"]:
        """Which frames passed the physical filter, whatever the committee thought of them.

        A ledger that does not say it counts its failed frames as unphysical.
        """
        if "physical" in self.records:
            return np.asarray(self.records["physical"], dtype=bool)
        return np.asarray(self.records["verdict"] != Outcome.FAILED)

    @property
    def expected_error(self) -> float | None:
        """Mean expected force error of the physical frames' atoms, eV/Angstrom; None if not recorded."""
        if "mean_expected_error" not in self.records or not self.physical.any():
            return None
        return float(self.records["mean_expected_error"][self.physical].mean())

    @property
    def surviving_replicas(self) -> float:
        """Fraction of the replicas that ran to the end."""
        return float(self.replicas["survived"].mean())

    def save(self, folder: str | Path) -> None:
        """Write ledger.csv, replicas.csv and the frames by verdict as extxyz (failed ones too)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for outcome, name in _FILES.items():
            chosen = self.records["verdict"] == outcome
            write_frames(folder / name, [f for f, c in zip(self.frames, chosen, strict=True) if c])
        self.records.to_csv(folder / "ledger.csv", index=False)
        self.replicas.to_csv(folder / "replicas.csv", index=False)

    @classmethod
    def load(cls, folder: str | Path) -> Exploration:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: where a file is missing.
            ValueError: where the ledger names a frame that no file holds.
        """
        folder = Path(folder)
        records = read_table(folder / "ledger.csv", needs=("frame_id", "verdict"))
        held = {frame.id: frame for name in _FILES.values() for frame in _read(folder / name)}
        missing = [frame_id for frame_id in records["frame_id"] if frame_id not in held]
        if missing:
            raise ValueError(
                f"{folder}/ledger.csv names frames that the extxyz files beside it lack: {missing[:3]}; "
                "delete the folder and explore again"
            )
        return cls(
            records=records,
            frames=tuple(held[frame_id] for frame_id in records["frame_id"]),
            replicas=read_table(folder / "replicas.csv"),
        )


def _read(path: Path) -> list[Frame]:
    return read_frames(path, check=False) if path.stat().st_size else []
