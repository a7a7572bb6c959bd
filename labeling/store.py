"""The label store: an ase.db database that holds every label ever made, and every failure.

`ase db labels.db` lists it, `ase gui labels.db` shows it. A row is one frame at one level of theory;
ase.db's own UNIQUE column `unique_id` is made from both, so that the database itself refuses a second
row, whoever writes. Each row is one transaction: after `kill -9` it is there or it is not.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.db
from ase import Atoms
from ase.db.row import AtomsRow
from ase.db.sqlite import SQLite3Database
from ase.stress import voigt_6_to_full_3x3_stress

from labeling.failure import LabelFailure
from potential.dataset import Dataset, Label, LabelledFrame
from potential.frame import Frame

LABELLED, FAILED = "labelled", "failed"
Row = Any  # ase.db's AtomsRow, whose attributes are the columns


class LabelStore:
    """Labels and failures by (frame id, level key); safe for concurrent threads and processes.

    Columns in ase.db: `frame_id`, `level_key` (with a prefix, for ase.db refuses text that reads as a
    number), `status` (labelled or failed), `failure` (its kind), `total_charge`, `spin`, and
    `origin_...` for each entry of `Frame.origin` that is a number or text. Provenance is in `data`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as database:
            _ = database.metadata  # creates the tables, inside the transaction

    def get(self, frame_id: str, level_key: str) -> Label | None:
        """The label, or None if there is none (yet)."""
        row = self._row(frame_id, level_key)
        return _label(row) if row is not None and row.status == LABELLED else None

    def failure(self, frame_id: str, level_key: str) -> LabelFailure | None:
        """The failure, or None if the frame has a label or was never tried."""
        row = self._row(frame_id, level_key)
        return LabelFailure(**row.data["failure"]) if row is not None and row.status == FAILED else None

    def add(self, frame: Frame, label: Label) -> bool:
        """Write a label, on disk when this returns; it replaces a failure, never another label.

        Returns:
            Whether it was written; False if the frame has a label at this level already.

        Raises:
            ValueError: if the label belongs to another frame.
        """
        atoms = LabelledFrame(frame=frame, label=label).to_atoms()
        data = {"origin": frame.origin, "provenance": label.provenance}
        return self._write(frame, label.level_key, atoms, {"status": LABELLED}, data)

    def add_failure(self, frame: Frame, failure: LabelFailure) -> bool:
        """Write a failure, on disk when this returns; it replaces an older one, never a label.

        Returns:
            Whether it was written; False if the frame has a label at this level.

        Raises:
            ValueError: if the failure belongs to another frame.
        """
        if failure.frame_id != frame.id:
            raise ValueError(f"failure belongs to frame {failure.frame_id}, not to {frame.id}")
        data = {"origin": frame.origin, "failure": dataclasses.asdict(failure)}
        columns = {"status": FAILED, "failure": failure.kind}
        return self._write(frame, failure.level_key, frame.to_atoms(), columns, data)

    def dataset(self, frames: Iterable[Frame | str], level_key: str) -> Dataset:
        """The labelled ones among `frames` (frames or their ids), in that order."""
        ids = [frame.id if isinstance(frame, Frame) else frame for frame in frames]
        with self._reading() as database:
            rows = (_select_one(database, frame_id, level_key) for frame_id in ids)
            return Dataset.of(
                _labelled_frame(row) for row in rows if row is not None and row.status == LABELLED
            )

    def frames(self, level_key: str) -> list[Frame]:
        """All frames that have a label at this level, oldest first."""
        return [item.frame for item in self._labelled(level_key=_column("level", level_key))]

    def failures(self, level_key: str) -> list[tuple[Frame, LabelFailure]]:
        """All frames without a label at this level that were tried, oldest first."""
        rows = self._select(status=FAILED, level_key=_column("level", level_key))
        return [(_frame(row), LabelFailure(**row.data["failure"])) for row in rows]

    def counts(self, level_key: str | None = None) -> dict[str, int]:
        """Rows by outcome: `{"labelled": 20, "not_converged": 1}`, at one level or all."""
        where = {} if level_key is None else {"level_key": _column("level", level_key)}
        rows = self._select(include_data=False, **where)
        return dict(Counter(row.get("failure", row.status) for row in rows))

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Every labelled frame of every level, oldest first."""
        return iter(self._labelled())

    def __len__(self) -> int:
        """Number of labels, failures not counted."""
        return self.counts().get(LABELLED, 0)

    def _write(
        self, frame: Frame, level_key: str, atoms: Atoms, columns: dict[str, Any], data: dict[str, Any]
    ) -> bool:
        columns = {
            "frame_id": _column("frame", frame.id),
            "level_key": _column("level", level_key),
            "total_charge": frame.charge,
            "spin": frame.spin,
            **{f"origin_{k}": v for k, v in frame.origin.items() if _fits_a_column(v)},
            **columns,
        }
        with self._writing() as database:
            present = _select_one(database, frame.id, level_key)
            if present is not None and present.status == LABELLED:
                return False
            row: Row = AtomsRow(atoms)
            row.unique_id = _unique_id(frame.id, level_key)
            row.ctime, row.user = ase.db.core.now(), None
            database.write(row, columns, data, id=None if present is None else present.id)
        return True

    def _row(self, frame_id: str, level_key: str) -> Row | None:
        with self._reading() as database:
            return _select_one(database, frame_id, level_key)

    def _select(self, **where: Any) -> list[Row]:
        with self._reading() as database:
            return list(database.select(**where))

    def _labelled(self, **where: Any) -> list[LabelledFrame]:
        return [_labelled_frame(row) for row in self._select(status=LABELLED, **where)]

    @contextmanager
    def _reading(self) -> Iterator[SQLite3Database]:
        # A connection each time: ase.db's object holds one and is not thread-safe.
        with ase.db.connect(str(self.path), type="db", use_lock_file=False, serial=True) as database:
            yield database

    @contextmanager
    def _writing(self) -> Iterator[SQLite3Database]:
        """One transaction, holding SQLite's write lock from before the first read to the commit."""
        with self._reading() as database:
            assert database.connection is not None
            database.connection.execute("BEGIN IMMEDIATE")
            yield database


def _unique_id(frame_id: str, level_key: str) -> str:
    return f"{frame_id}-{level_key}"


def _column(prefix: str, digits: str) -> str:
    return f"{prefix}-{digits}"


def _fits_a_column(value: Any) -> bool:
    if isinstance(value, str):
        return not any(ase.db.core.str_represents(value, kind) for kind in (bool, int, float))
    return isinstance(value, (bool, int, float))


def _select_one(database: SQLite3Database, frame_id: str, level_key: str) -> Row | None:
    return next(iter(database.select(unique_id=_unique_id(frame_id, level_key))), None)


def _frame(row: Row) -> Frame:
    return Frame.of(
        row.numbers,
        row.positions,
        row.cell,
        row.pbc,
        charge=row.total_charge,
        spin=row.spin,
        origin=row.data["origin"],
    )


def _label(row: Row) -> Label:
    frame_id, _, level_key = row.unique_id.partition("-")
    stress = row.get("stress")
    return Label(
        frame_id=frame_id,
        level_key=level_key,
        energy=float(row.energy),
        forces=row.forces.copy(),
        stress=None if stress is None else voigt_6_to_full_3x3_stress(stress),
        provenance=row.data["provenance"],
    )


def _labelled_frame(row: Row) -> LabelledFrame:
    return LabelledFrame(frame=_frame(row), label=_label(row))
