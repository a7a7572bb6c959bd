"""The label store: an ase.db database that holds every label ever made, and every failure.

`ase db labels.db` lists it, `ase gui labels.db` shows it. A row is one frame at one level of theory;
ase.db's own UNIQUE column `unique_id` is made from both, so that the database itself refuses a second
row, whoever writes. Each row is one transaction: after `kill -9` it is there or it is not.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ase.db
from ase import Atoms

from labeling.failure import LabelFailure
from labeling.location import is_url
from labeling.rows import (
    Row,
    column,
    failure_of,
    frame_of,
    identity,
    identity_by_columns,
    label_of,
    labelled_frame_of,
    new_row,
    users_words,
)
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame

LABELLED, FAILED = "labelled", "failed"
POSTGRESQL_LOCK = 20107  # any number, the same for all who write labels
Database = Any  # ase.db's, whose classes for SQLite and PostgreSQL have no common base


class LabelStore:
    """Labels and failures by (frame id, level key); safe for concurrent threads and processes.

    Columns in ase.db: `frame_id`, `level_key`, `status` (labelled or failed), `failure` (its kind),
    `total_charge`, `spin`, and `origin_...` for each entry of `Frame.origin` that is a number or text.
    Provenance is in `data`.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store, and make it if it is not there.

        Args:
            path: a file, or `postgresql://user:password@host:port/database`.

        Raises:
            ModuleNotFoundError: for PostgreSQL without its packages.
        """
        self.is_file = not is_url(path)
        self.path = Path(path) if self.is_file else path
        if self.is_file:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        elif find_spec("ase_db_backends") is None or find_spec("psycopg2") is None:
            raise ModuleNotFoundError(
                "a label store in PostgreSQL needs two more packages; "
                "`pip install ase-db-backends psycopg2-binary`"
            )
        if self.is_file and is_there(path) and not os.access(path, os.W_OK):
            return  # somebody else's, for reading
        with self._writing() as database:
            _ = database.metadata  # creates the tables, inside the transaction

    def get(self, frame_id: str, level_key: str) -> Label | None:
        """The label, or None if there is none (yet)."""
        row = self._row(frame_id, level_key)
        return label_of(row) if row is not None and row.status == LABELLED else None

    def failure(self, frame_id: str, level_key: str) -> LabelFailure | None:
        """The failure, or None if the frame has a label or was never tried."""
        row = self._row(frame_id, level_key)
        return failure_of(row) if row is not None and row.status == FAILED else None

    def record(self, frame: Frame, outcome: Label | LabelFailure) -> bool:
        """Write what became of a frame: `add` or `add_failure`."""
        if isinstance(outcome, Label):
            return self.add(frame, outcome)
        return self.add_failure(frame, outcome)

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
        label = failure.label
        words = {f.name: getattr(failure, f.name) for f in dataclasses.fields(failure) if f.name != "label"}
        data = {"origin": frame.origin, "failure": words}
        columns = {"status": FAILED, "failure": failure.kind}
        atoms = frame.to_atoms()
        if label is not None:
            data["provenance"] = label.provenance
            atoms = LabelledFrame(frame=frame, label=label).to_atoms()
        return self._write(frame, failure.level_key, atoms, columns, data)

    def release(self, frame_id: str, level_key: str) -> Label:
        """Take a quarantined label as it is, on a person's word, which its provenance keeps.

        Raises:
            KeyError: if the frame is not in quarantine at this level.
            ValueError: if its numbers were never computed.
        """
        with self._writing() as database:
            row = _quarantined(database, frame_id, level_key)
            failure = failure_of(row)
            if failure.label is None:
                raise ValueError(
                    f"frame {frame_id} has no numbers to release ({failure.kind}: {failure.message}); "
                    "label it again with `alnico quarantine relabel`"
                )
            note = {"kind": failure.kind, "message": failure.message, "released_at": _now()}
            label = dataclasses.replace(
                failure.label, provenance={**failure.label.provenance, "released": note}
            )
            frame = frame_of(row)
            atoms = LabelledFrame(frame=frame, label=label).to_atoms()
            data = {"origin": frame.origin, "provenance": label.provenance}
            self._put(database, row.id, frame, level_key, atoms, {"status": LABELLED}, data)
        return label

    def forget_failure(self, frame_id: str, level_key: str) -> None:
        """Take a frame out of quarantine as if it had never been tried, so that it is labelled again.

        Raises:
            KeyError: if the frame is not in quarantine at this level.
        """
        with self._writing() as database:
            database.delete([_quarantined(database, frame_id, level_key).id])

    def dataset(self, frames: Iterable[Frame | str], level_key: str) -> Dataset:
        """The labelled ones among `frames` (frames or their ids), in that order."""
        ids = [frame.id if isinstance(frame, Frame) else frame for frame in frames]
        with self._reading() as database:
            rows = (_select_one(database, frame_id, level_key) for frame_id in ids)
            return Dataset.of(
                labelled_frame_of(row) for row in rows if row is not None and row.status == LABELLED
            )

    def frames(self, level_key: str) -> list[Frame]:
        """All frames that have a label at this level, oldest first."""
        return [item.frame for item in self._labelled(level_key=column("level", level_key))]

    def failures(self, level_key: str | None = None) -> list[tuple[Frame, LabelFailure]]:
        """All frames without a label that were tried, oldest first; at one level or all."""
        where = {} if level_key is None else {"level_key": column("level", level_key)}
        rows = self._select(status=FAILED, **where)
        return [(frame_of(row), failure_of(row)) for row in rows]

    def counts(self, level_key: str | None = None) -> dict[str, int]:
        """Rows by outcome: `{"labelled": 20, "not_converged": 1}`, at one level or all."""
        where = {} if level_key is None else {"level_key": column("level", level_key)}
        rows = self._select(include_data=False, **where)
        return dict(Counter(row.get("failure", row.status) for row in rows))

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Every labelled frame of every level, oldest first."""
        return iter(self._labelled())

    def __len__(self) -> int:
        """Number of labels, failures not counted."""
        return self.counts().get(LABELLED, 0)

    def integrity_problems(self) -> list[str]:
        """What the database itself says is wrong with its file, and rows whose columns disagree."""
        problems = []
        with self._reading() as database:
            if self.is_file:
                (verdict,) = database.connection.execute("PRAGMA integrity_check").fetchone()
                problems += [] if verdict == "ok" else [f"{self.path}: {verdict}"]
            for row in database.select():
                if (spelled := identity_by_columns(row)) != row.unique_id:
                    problems.append(f"row {row.id}: its columns say {spelled}, its identity {row.unique_id}")
                elif frame_of(row).id != row.unique_id.partition("-")[0]:
                    problems.append(f"row {row.id}: frame {row.unique_id} was altered")
        return problems

    def _write(
        self, frame: Frame, level_key: str, atoms: Atoms, columns: dict[str, Any], data: dict[str, Any]
    ) -> bool:
        with self._writing() as database:
            present = _select_one(database, frame.id, level_key)
            if present is not None and present.status == LABELLED:
                return False
            self._put(
                database, None if present is None else present.id, frame, level_key, atoms, columns, data
            )
        return True

    @staticmethod
    def _put(
        database: Database,
        row_id: int | None,
        frame: Frame,
        level_key: str,
        atoms: Atoms,
        columns: dict[str, Any],
        data: dict[str, Any],
    ) -> None:
        row, identifying = new_row(frame, level_key, atoms)
        database.write(row, {**identifying, **columns}, {**data, **users_words(frame)}, id=row_id)

    def _row(self, frame_id: str, level_key: str) -> Row | None:
        with self._reading() as database:
            return _select_one(database, frame_id, level_key)

    def _select(self, **where: Any) -> list[Row]:
        with self._reading() as database:
            return list(database.select(**where))

    def _labelled(self, **where: Any) -> list[LabelledFrame]:
        return [labelled_frame_of(row) for row in self._select(status=LABELLED, **where)]

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        # A connection each time: ase.db's object holds one and is not thread-safe.
        if self.is_file:
            connection = ase.db.connect(str(self.path), type="db", use_lock_file=False, serial=True)
        else:
            connection = ase.db.connect(str(self.path), type="postgresql")
        with connection as database:
            if not self.is_file:  # ase-db-backends forgot it, and ase.db calls it after an error
                database.connection.rollback = database.connection.con.rollback
            yield database

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        """One transaction, holding the database's write lock from before the first read to the commit."""
        with self._reading() as database:
            lock = "BEGIN IMMEDIATE" if self.is_file else f"SELECT pg_advisory_xact_lock({POSTGRESQL_LOCK})"
            database.connection.cursor().execute(lock)
            yield database


def is_there(location: str | Path) -> bool:
    """Whether there is a store; a database by URL is taken to be there."""
    return is_url(location) or Path(location).exists()


def _select_one(database: Database, frame_id: str, level_key: str) -> Row | None:
    return next(iter(database.select(unique_id=identity(frame_id, level_key))), None)


def _quarantined(database: Database, frame_id: str, level_key: str) -> Row:
    row = _select_one(database, frame_id, level_key)
    if row is None or row.status != FAILED:
        raise KeyError(f"frame {frame_id} is not in quarantine at level {level_key}")
    return row


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
