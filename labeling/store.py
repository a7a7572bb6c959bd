"""The label store: an ase.db database that holds every label ever made, and every failure.

`ase db labels.db` lists it, `ase gui labels.db` shows it. A row is one frame at one level of theory;
ase.db's own UNIQUE column `unique_id` is made from both, so that the database itself refuses a second
row, whoever writes. Each row is one transaction: after `kill -9` it is there or it is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from labeling.database import (
    Connections,
    Database,
    PostgreSQLServer,
    SQLiteFile,
    delete_row,
    execute,
    fetch,
)
from labeling.failure import LabelFailure
from labeling.location import is_url
from labeling.rows import COLUMNS, FAILED, LABELLED, NewRow, Row, identity, new_row
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame

PATIENCE_S = 90.0
AT_ONCE = 500


class LabelStore:
    """Labels and failures by (frame id, level key); safe for concurrent threads and processes.

    Columns in ase.db: `frame_id`, `level_key`, `status` (labelled or failed), `failure` (its kind),
    `total_charge`, `spin`, and `origin_...` for each entry of `Frame.origin` that is a number or text.
    Provenance is in `data`, and a digest of the row (`labeling.digest`).

    Connections are kept until `close`, the end of a `with` block, or of the object.
    """

    def __init__(self, path: str | Path, *, patience_s: float = PATIENCE_S) -> None:
        """Open the store, and make it if it is not there.

        Args:
            path: a file, or `postgresql://user:password@host:port/database`.
            patience_s: how long to wait where another program holds the database.

        Raises:
            ModuleNotFoundError: for PostgreSQL without its packages.
            ValueError: for a database of another program.
            sqlite3.Error: for a file that is no database, a damaged one, or one that stays locked.
        """
        self.is_file = not is_url(path)
        self.path = Path(path) if self.is_file else path
        place = SQLiteFile(Path(path)) if self.is_file else PostgreSQLServer(str(path))
        self.place = place
        self.connections = Connections(place, patience_s)
        if self.connections.patiently(place.make):
            # a server that does not answer at first is told of at once
            self.connections.write(_make_tables, patience_s=patience_s if self.is_file else 0.0)

    def get(self, frame_id: str, level_key: str) -> Label | None:
        """The label, or None if there is none (yet)."""
        row = self._row(frame_id, level_key)
        return row.label if row is not None and row.status == LABELLED else None

    def failure(self, frame_id: str, level_key: str) -> LabelFailure | None:
        """The failure, or None if the frame has a label or was never tried."""
        row = self._row(frame_id, level_key)
        return row.failure if row is not None and row.status == FAILED else None

    def record(self, frame: Frame, outcome: Label | LabelFailure, *, patience_s: float | None = None) -> bool:
        """Write what became of a frame: `add` or `add_failure`."""
        row = new_row(frame, outcome)
        return self.connections.write(lambda database: _put_new(database, row), patience_s=patience_s)

    def add(self, frame: Frame, label: Label) -> bool:
        """Write a label, on disk when this returns; it replaces a failure, never another label.

        Returns:
            Whether it was written; False if the frame has a label at this level already.

        Raises:
            ValueError: if the label belongs to another frame.
        """
        return self.record(frame, label)

    def add_all(self, items: Iterable[LabelledFrame]) -> int:
        """Write labels in one transaction: all, or on an error none. Returns how many are new."""
        rows = [new_row(item.frame, item.label) for item in items]
        return self.connections.write(lambda database: sum(_put_new(database, row) for row in rows))

    def add_failure(self, frame: Frame, failure: LabelFailure) -> bool:
        """Write a failure, on disk when this returns; it replaces an older one, never a label.

        Returns:
            Whether it was written; False if the frame has a label at this level.

        Raises:
            ValueError: if the failure belongs to another frame.
        """
        return self.record(frame, failure)

    def release(self, frame_id: str, level_key: str) -> Label:
        """Take a quarantined label as it is, on a person's word, which its provenance keeps.

        Raises:
            KeyError: if the frame is not in quarantine at this level.
            ValueError: if its numbers were never computed.
        """

        def work(database: Database) -> Label:
            row = _quarantined(database, frame_id, level_key)
            failure = row.failure
            if failure.label is None:
                raise ValueError(
                    f"frame {frame_id} has no numbers to release ({failure.kind}: {failure.message}); "
                    "label it again with `alnico quarantine relabel`"
                )
            note = {"kind": failure.kind, "message": failure.message, "released_at": _now()}
            label = dataclasses.replace(
                failure.label, provenance={**failure.label.provenance, "released": note}
            )
            _put(database, row.id, new_row(row.frame, label))
            return label

        return self.connections.write(work)

    def forget_failure(self, frame_id: str, level_key: str) -> None:
        """Take a frame out of quarantine as if it had never been tried, so that it is labelled again.

        Raises:
            KeyError: if the frame is not in quarantine at this level.
        """
        self.connections.write(
            lambda database: delete_row(database, _quarantined(database, frame_id, level_key).id)
        )

    def dataset(self, frames: Iterable[Frame | str], level_key: str) -> Dataset:
        """The labelled ones among `frames` (frames or their ids), in that order."""
        ids = [frame.id if isinstance(frame, Frame) else frame for frame in frames]
        rows = self.connections.read(lambda database: [_select_one(database, i, level_key) for i in ids])
        return Dataset.of(row.labelled_frame for row in rows if row is not None and row.status == LABELLED)

    def frames(self, level_key: str) -> list[Frame]:
        """All frames that have a label at this level, oldest first."""
        return [row.frame for row in self.rows(level_key) if row.status == LABELLED]

    def failures(self, level_key: str | None = None) -> list[tuple[Frame, LabelFailure]]:
        """All frames without a label that were tried, oldest first; at one level or all."""
        return [(row.frame, row.failure) for row in self.rows(level_key, FAILED)]

    def counts(self, level_key: str | None = None) -> dict[str, int]:
        """Rows by outcome: `{"labelled": 20, "not_converged": 1}`, at one level or all."""
        kind, status = (self.place.text("key_value_pairs", key) for key in ("failure", "status"))
        where = "" if level_key is None else f"WHERE {self.place.level} = ?"
        sql = f"SELECT coalesce({kind}, {status}), count(*) FROM systems {where} GROUP BY 1 ORDER BY min(id)"
        arguments = () if level_key is None else (level_key,)
        return dict(self.connections.read(lambda database: fetch(database, sql, arguments)))

    def levels(self) -> list[str]:
        """The keys of the levels of theory that it has rows of, in their order."""
        sql = f"SELECT DISTINCT {self.place.level} FROM systems ORDER BY 1"
        return [key for (key,) in self.connections.read(lambda database: fetch(database, sql))]

    def rows(self, level_key: str | None = None, status: str | None = None) -> Iterator[Row]:
        """Rows as they are, oldest first; of one level or all, of one status or both.

        They are read some hundreds at a time, and nothing is held in between: others may write. What is
        written after it began is left out.
        """
        stated = self.place.text("key_value_pairs", "status")
        wanted = {f"{self.place.level} = ?": level_key, f"{stated} = ?": status}
        where = "".join(f" AND {sql}" for sql, value in wanted.items() if value is not None)
        given = [value for value in wanted.values() if value is not None]
        sql = f"SELECT {COLUMNS} FROM systems WHERE id > ?{where} ORDER BY id LIMIT {AT_ONCE}"

        def read(database: Database) -> list[Row]:
            return [Row.read(values, database) for values in fetch(database, sql, (last, *given))]

        (newest,) = self.connections.read(lambda database: fetch(database, "SELECT max(id) FROM systems"))[0]
        last = 0
        while last < (newest or 0) and (found := self.connections.read(read)):
            yield from (row for row in found if row.id <= newest)
            last = found[-1].id

    def add_digests(self) -> int:
        """Give the rows of an older version the digest that they lack. Returns how many.

        It believes what they say: verify first.
        """

        def work(database: Database) -> int:
            _make_tables(database)  # which reads the version of the database
            found = fetch(database, f"SELECT {COLUMNS} FROM systems")
            rows = (Row.read(values, database) for values in found)
            without = [row for row in rows if "digest" not in row.data]
            for row in without:
                data = database.encode({**row.data, "digest": row.digest}, binary=database.version >= 9)
                execute(database, "UPDATE systems SET data = ? WHERE id = ?", (data, row.id))
            return len(without)

        return self.connections.write(work)

    def close(self) -> None:
        """Close the connections; the store can still be used, and opens new ones then."""
        self.connections.close()

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[LabelStore], tuple[str | Path]]:
        return type(self), (self.path,)

    def __iter__(self) -> Iterator[LabelledFrame]:
        """Every labelled frame of every level, oldest first."""
        return (row.labelled_frame for row in self.rows(status=LABELLED))

    def __len__(self) -> int:
        """Number of labels, failures not counted."""
        return self.counts().get(LABELLED, 0)

    def _row(self, frame_id: str, level_key: str) -> Row | None:
        return self.connections.read(lambda database: _select_one(database, frame_id, level_key))


def is_there(location: str | Path) -> bool:
    """Whether there is a store; a database by URL is taken to be there."""
    return is_url(location) or Path(location).exists()


def _put_new(database: Database, new: NewRow) -> bool:
    row, _, _ = new
    present = _select(database, row.unique_id)
    if present is not None and present.status == LABELLED:
        return False
    _put(database, None if present is None else present.id, new)
    return True


def _put(database: Database, row_id: int | None, new: NewRow) -> None:
    row, columns, data = new
    database.write(row, columns, data, id=row_id)


def _select(database: Database, name: str) -> Row | None:
    found = fetch(database, f"SELECT {COLUMNS} FROM systems WHERE unique_id = ?", (name,))
    return Row.read(found[0], database) if found else None


def _select_one(database: Database, frame_id: str, level_key: str) -> Row | None:
    return _select(database, identity(frame_id, level_key))


def _quarantined(database: Database, frame_id: str, level_key: str) -> Row:
    row = _select_one(database, frame_id, level_key)
    if row is None or row.status != FAILED:
        raise KeyError(f"frame {frame_id} is not in quarantine at level {level_key}")
    return row


def _make_tables(database: Database) -> None:
    _ = database.metadata  # ase.db makes them when it is first asked


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
