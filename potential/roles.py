"""Which frames a potential has learned from, kept beside its weights: a role for each frame's id.

Whoever measures a potential can tell from it whether a frame is a fair test. A potential of an older
version, or of another program, has no such table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.role import Role
from potential.data.tables import read_table

FILE = "frames.csv"


@dataclass(frozen=True)
class Roles:
    """The role of each frame, by its id; a frame that is not in it was not there."""

    of: Mapping[str, Role]

    @classmethod
    def made(cls, *, train: Iterable[str], held_out: Iterable[str] = (), test: Iterable[str] = ()) -> Roles:
        """From the ids of frames; one that is in two of them was trained on, or else held out."""
        found: dict[str, Role] = dict.fromkeys(test, "test")
        found |= dict.fromkeys(held_out, "held_out")
        found |= dict.fromkeys(train, "train")
        return cls(found)

    def ids(self, role: Role) -> list[str]:
        """The frames of a role, in the order of the table."""
        return [frame for frame, mine in self.of.items() if mine == role]

    def save(self, folder: Path) -> None:
        """Into the folder of a potential."""
        rows = pd.DataFrame({"frame_id": list(self.of), "role": list(self.of.values())}, dtype=str)
        write_atomically(folder / FILE, rows.to_csv(index=False))

    @classmethod
    def load(cls, folder: Path) -> Roles | None:
        """Of the potential in a folder; None where it keeps none.

        Raises:
            ValueError: where the table cannot be read.
        """
        file = Path(folder) / FILE
        if not file.exists():
            return None
        table = read_table(file, as_text=True, needs=("frame_id", "role"))
        if unknown := sorted(set(table["role"]) - set(get_args(Role))):
            raise ValueError(f"{file}: unknown role {unknown[0]}; it is one of {', '.join(get_args(Role))}")
        return cls(dict(zip(table["frame_id"], table["role"], strict=True)))


def unlearned(potential: Path, labels: Dataset) -> Dataset | None:
    """Those of the labels that the potential in a folder was not trained on; None where it does not say."""
    roles = Roles.load(potential)
    if roles is None:
        return None
    return Dataset.of(item for item in labels if roles.of.get(item.frame.id) != "train")
