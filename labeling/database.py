"""The databases that a label store may be in, and connections to them that are kept and given back.

What defines the schema is written through ase.db; what is read often is read by SQL on its tables
(`ase/db/sqlite.py` has them).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, final

import ase.db

from labeling.damaged_row import NoLabelStoreError
from labeling.location import without_passwords

Database = Any  # ase.db's, whose classes for SQLite and PostgreSQL have no common base
R = TypeVar("R")

POSTGRESQL_LOCK = 20107  # any number, the same for all who write labels
BUSY_S = 1.0
"""How long SQLite itself waits for a lock; it does not hear Ctrl-C meanwhile."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
SILENCE_S = 4.0
"""How long it waits before it says so."""
NO_ARRAYS = "x'0800000000000000'"
"""How ase.db's `data` begins where it is JSON and nothing else."""


@final
class SQLiteFile:
    """A database in a file, and its dialect of SQL.

    Attributes:
        lock: begins a transaction and holds the lock of writers.
        name: for messages, without a password.
        level: the level key in `unique_id`.
        data: the column `data` as JSON.
        largest: the function that gives the larger of two numbers.
    """

    lock = "BEGIN IMMEDIATE"
    level = "substr(unique_id, instr(unique_id, '-') + 1)"
    data = f"CASE substr(data, 1, 8) WHEN {NO_ARRAYS} THEN CAST(substr(data, 9) AS TEXT) ELSE '{{}}' END"
    largest = "max"

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.name = str(self.path)

    def make(self) -> bool:
        """Whether the tables are still to be made.

        Raises:
            NoLabelStoreError: for a database of another program.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._open("rwc" if not self.path.exists() else "rw")) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if tables and "systems" not in tables:
            raise NoLabelStoreError(
                f"{self.path} is a database, but no label store (it has {', '.join(sorted(tables)[:3])}); "
                "give the file that `alnico run` or `alnico label` made"
            )
        return not tables

    def connect(self) -> Database:
        database = ase.db.connect(str(self.path), type="db", use_lock_file=False, serial=True)
        database.connection = self._open("rw")
        database.opened = self._which()
        return database

    def is_stale(self, database: Database) -> bool:
        """Another file has its name by now; what is written into the old one would be lost."""
        return bool(database.opened != self._which())

    def is_away(self, error: Exception) -> bool:
        """Whether an error may pass: a lock, a server out of reach."""
        signs = ("locked", "busy")
        return isinstance(error, sqlite3.OperationalError) and any(sign in str(error) for sign in signs)

    def text(self, json: str, *path: str) -> str:
        """SQL of a text in JSON."""
        return f"json_extract({json}, '$.{'.'.join(path)}')"

    number = text

    def integrity(self, database: Database) -> list[str]:
        """What the database itself says is wrong with it."""
        said = [text for (text,) in fetch(database, "PRAGMA integrity_check(3)") if text != "ok"]
        sql = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        others = [f"has a {kind} {name!r}, which is none of ours" for kind, name in fetch(database, sql)]
        return said + others

    def deleted(self, database: Database) -> int:
        """How many rows were there once; numbers are not given twice."""
        (given,) = fetch(database, "SELECT seq FROM sqlite_sequence WHERE name = 'systems'") or [(0,)]
        ((left,),) = fetch(database, "SELECT count(*) FROM systems")
        return max(int(given[0]) - int(left), 0)

    def _open(self, mode: str) -> sqlite3.Connection:
        # Used by one thread at a time, but not always by the same.
        uri = f"{self.path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)

    def _which(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


@final
class PostgreSQLServer:
    """A database on a server, and its dialect of SQL; as `SQLiteFile`."""

    lock = f"SELECT pg_advisory_xact_lock({POSTGRESQL_LOCK})"
    level = "split_part(unique_id, '-', 2)"
    data = "data"
    largest = "greatest"

    def __init__(self, url: str) -> None:
        if find_spec("ase_db_backends") is None or find_spec("psycopg2") is None:
            raise ModuleNotFoundError(
                "a label store in PostgreSQL needs two more packages; "
                "`pip install ase-db-backends psycopg2-binary`"
            )
        self.url, self.name = url, without_passwords(url)
        driver = import_module("psycopg2")  # of an optional dependency
        self._away = (driver.OperationalError, driver.InterfaceError)

    def make(self) -> bool:
        return True  # ase.db sees for itself, inside the transaction

    def connect(self) -> Database:
        database = ase.db.connect(self.url, type="postgresql")
        database.connection = database._connect()
        return database

    def is_stale(self, database: Database) -> bool:
        return bool(database.connection.con.closed)

    def is_away(self, error: Exception) -> bool:
        return isinstance(error, self._away)

    def text(self, json: str, *path: str) -> str:
        return f"{json} #>> '{{{','.join(path)}}}'"

    def number(self, json: str, *path: str) -> str:
        return f"CAST({self.text(json, *path)} AS DOUBLE PRECISION)"

    def integrity(self, database: Database) -> list[str]:
        return []  # the server's business

    def deleted(self, database: Database) -> int:
        return 0  # numbers of writes that failed are not given again


Place: TypeAlias = SQLiteFile | PostgreSQLServer


@final
class Connections:
    """Connections to one database: each is used by one thread at a time, kept, and used again.

    A process that was forked opens its own and leaves its parent's alone.
    """

    def __init__(self, place: Place, patience_s: float) -> None:
        """
        Args:
            patience_s: how long to wait for a lock to be lifted, or a server to come back.
        """
        self.place, self.patience_s = place, patience_s
        self._idle: list[Database] = []
        self._opened_by = os.getpid()
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._idle, self._opened_by)

    def read(self, work: Callable[[Database], R]) -> R:
        """What `work` finds."""
        return self.patiently(lambda: self._once(work, ""))

    def write(self, work: Callable[[Database], R], *, patience_s: float | None = None) -> R:
        """Run `work` in one transaction, with the lock of writers from before its first read to its commit.

        It is run anew where a lock got into its way, or the server went away.
        """
        return self.patiently(lambda: self._once(work, self.place.lock), patience_s)

    def close(self) -> None:
        """Close those that are not in use; what is read or written afterwards opens new ones."""
        with self._lock:
            if self._opened_by == os.getpid():
                _close_all(self._idle, self._opened_by)

    def patiently(self, step: Callable[[], R], patience_s: float | None = None) -> R:
        """What `step` gives, tried anew while the database is locked or away, but not for ever."""
        until = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        tell_at = time.monotonic() + SILENCE_S
        pause = FIRST_PAUSE_S
        while True:
            try:
                return step()
            except Exception as error:
                now = time.monotonic()
                if not self.place.is_away(error) or now >= until:
                    if isinstance(self.place, SQLiteFile) and isinstance(error, sqlite3.Error):
                        error.add_note(self.place.name)
                    raise
                if now >= tell_at:
                    tell_at = until
                    warnings.warn(
                        f"the label store {self.place.name} is locked or away ({_first_line(error)}); "
                        f"waiting for it, {until - now:.0f} s at most",
                        stacklevel=1,
                    )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _once(self, work: Callable[[Database], R], begin: str) -> R:
        database = self._take()
        try:
            database.change_count = 0  # ase.db commits when it reaches a multiple of 5000
            if begin:
                database.connection.cursor().execute(begin)
            found = work(database)
            database.connection.commit()
        except BaseException:
            database.connection.close()  # which rolls back
            raise
        with self._lock:
            self._idle.append(database)
        return found

    def _take(self) -> Database:
        with self._lock:
            if self._opened_by != os.getpid():
                _of_parents.append(self._idle)  # neither used nor closed: the parent goes on with them
                self._idle, self._opened_by = [], os.getpid()
                weakref.finalize(self, _close_all, self._idle, self._opened_by)
            while self._idle:
                database = self._idle.pop()
                if not self.place.is_stale(database):
                    return database
                database.connection.close()
        return self.place.connect()


_of_parents: list[list[Database]] = []


def _first_line(error: Exception) -> str:
    return without_passwords((str(error).strip().splitlines() or [""])[0][:200])


def _close_all(idle: list[Database], opened_by: int) -> None:
    if opened_by != os.getpid():
        return
    while idle:
        idle.pop().connection.close()


def fetch(database: Database, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows that a query finds."""
    cursor = database.connection.cursor()
    cursor.execute(sql, tuple(arguments))
    return list(cursor.fetchall())


def execute(database: Database, sql: str, arguments: Sequence[Any] = ()) -> None:
    database.connection.cursor().execute(sql, tuple(arguments))


def delete_row(database: Database, row_id: int) -> None:
    """As ase.db does, which then rewrites the whole file (VACUUM)."""
    for table in ("species", "keys", "text_key_values", "number_key_values", "systems"):
        execute(database, f"DELETE FROM {table} WHERE id = ?", (row_id,))
