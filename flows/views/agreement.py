"""Where the members agree, are they right? Counted on the frozen test set."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from potential.data.tables import read_table


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Test frames: all, those on which the members agree, and those of them with a force that is wrong.

    Both are measured against `bound_eV_per_A`: the largest disagreement of a frame's atoms, and the largest
    length of their force errors.
    """

    frames: int
    agreed: int
    wrong: int
    bound_eV_per_A: float

    def __str__(self) -> str:
        return (
            f"members agree within {self.bound_eV_per_A:g} eV/Å on {self.agreed} of {self.frames} test "
            f"frames; on {self.wrong} of these the force on some atom is wrong by more than that"
        )


def agreement(atoms: pd.DataFrame, bound_eV_per_A: float) -> Agreement:
    """Of a table of test atoms."""
    worst = atoms.groupby("frame_id")[["force_disagreement", "force_error"]].max()
    agreed = worst["force_disagreement"] < bound_eV_per_A
    wrong = agreed & (worst["force_error"] > bound_eV_per_A)
    return Agreement(
        frames=len(worst),
        agreed=int(agreed.sum()),
        wrong=int(wrong.sum()),
        bound_eV_per_A=bound_eV_per_A,
    )


def agreement_line(folder: CampaignFolder, result: RoundResult) -> str | None:
    """In words, at the bound below which exploration counts a frame as agreed on; None without its table."""
    table = folder.round(result.round).test_atoms
    if folder.config.model.committee_size < 2 or not table.exists():
        return None
    atoms = read_table(table, needs=("frame_id", "force_disagreement", "force_error"))
    return str(agreement(atoms, folder.config.exploration.lower_eV_per_A))
