"""What one row of the label store holds: a frame at a level of theory, with its label or its failure."""

from __future__ import annotations

import json
from typing import Any

import ase.db
from ase import Atoms
from ase.constraints import FixAtoms
from ase.db.row import AtomsRow

from labeling.failure import LabelFailure
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.stress import full_stress

Row = Any  # ase.db's AtomsRow, whose attributes are the columns


def identity(frame_id: str, level_key: str) -> str:
    """What ase.db's UNIQUE column holds."""
    return f"{frame_id}-{level_key}"


def column(prefix: str, digits: str) -> str:
    """Hex digits as a column takes them: ase.db refuses text that reads as a number."""
    return f"{prefix}-{digits}"


def identity_by_columns(row: Row) -> str:
    """The identity that the other columns of a row spell; the row's own, unless it was altered."""
    return identity(row.frame_id.removeprefix("frame-"), row.level_key.removeprefix("level-"))


def new_row(frame: Frame, level_key: str, atoms: Atoms) -> tuple[Row, dict[str, Any]]:
    """A row of `atoms` that is not in a database yet, and its columns."""
    row: Row = AtomsRow(atoms)
    row.unique_id = identity(frame.id, level_key)
    row.ctime, row.user = ase.db.core.now(), None
    return row, {
        "frame_id": column("frame", frame.id),
        "level_key": column("level", level_key),
        "total_charge": frame.charge,
        "spin": frame.spin,
        **{f"origin_{key}": value for key, value in frame.origin.items() if _fits_a_column(value)},
    }


def frame_of(row: Row) -> Frame:
    return Frame.of(
        row.numbers,
        row.positions,
        row.cell,
        row.pbc,
        charge=row.total_charge,
        spin=row.spin,
        origin=row.data["origin"],
        fixed=[i for c in row.constraints if isinstance(c, FixAtoms) for i in c.index.tolist()],
        info=json.loads(row.data.get("info", "{}")),
    )


def users_words(frame: Frame) -> dict[str, str]:
    """What the user's file said of a frame besides, for `data`; as text, which ase.db leaves alone."""
    return {"info": json.dumps(frame.info)} if frame.info else {}


def label_of(row: Row) -> Label:
    frame_id, _, level_key = row.unique_id.partition("-")
    stress = row.get("stress")
    return Label(
        frame_id=frame_id,
        level_key=level_key,
        energy=float(row.energy),
        forces=row.forces.copy(),
        stress=None if stress is None else full_stress(stress),
        provenance=row.data["provenance"],
    )


def labelled_frame_of(row: Row) -> LabelledFrame:
    return LabelledFrame(frame=frame_of(row), label=label_of(row))


def failure_of(row: Row) -> LabelFailure:
    """The failure, with the numbers of the label that a check rejected, if it was one."""
    label = label_of(row) if row.get("energy") is not None else None
    return LabelFailure(**row.data["failure"], label=label)


def _fits_a_column(value: Any) -> bool:
    if isinstance(value, str):
        return not any(ase.db.core.str_represents(value, kind) for kind in (bool, int, float))
    return isinstance(value, (bool, int, float))
