"""What is wrong with a label store: its database, its rows, its labels. Findings, never exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from labeling.checks import CheckLimits, faults_of_electrons, values_and_faults
from labeling.database import Database, fetch
from labeling.exchange import level_of
from labeling.glance import frame_ids, plainly_sound
from labeling.location import without_passwords
from labeling.rows import COLUMNS, FAILED, LABELLED, Row
from labeling.store import AT_ONCE, LabelStore
from labeling.tables import problems_of_tables
from potential.data.dataset import Label

LIMITS = CheckLimits()
Levels = dict[str, tuple[Any, str | None, str]]
"""By level key: the level of theory that a provenance told last, its key, what to say if that is another."""
SEARCHED = ("frame_id", "level_key", "status", "failure", "total_charge", "spin")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found in a store.

    Attributes:
        problems: one line each; empty if nothing is wrong.
        labels, failures: rows that could be read.
        without_digest: rows that an older version wrote, of which nobody can say whether their values are
            those that were computed.
        deleted: rows that were there once, where the database tells.
    """

    problems: tuple[str, ...]
    labels: int = 0
    failures: int = 0
    without_digest: int = 0
    deleted: int = 0


def verify(store: LabelStore) -> Verification:
    """Read every row and check it anew.

    The database's own check; frame id against content, columns against one another, values against their
    digest, level key against the level that the provenance tells; finiteness, net force and the other checks
    of a label (one released by hand keeps its word).
    """
    deleted = 0
    with ThreadPoolExecutor(1) as beside:  # SQLite leaves the interpreter to the rows meanwhile
        database = beside.submit(_problems_of_database, store)
        rows = _Rows(store)
        rows.look_at()
    with suppress(Exception):  # it is damaged, and told so
        deleted = store.connections.read(store.place.deleted)
    return Verification(
        problems=tuple(dict.fromkeys(database.result() + rows.problems)),
        labels=rows.count[LABELLED],
        failures=rows.count[FAILED],
        without_digest=rows.count["without"],
        deleted=deleted,
    )


def _problems_of_database(store: LabelStore) -> list[str]:
    """What is wrong with it but for what its rows say."""
    problems, what = list[str](), without_passwords(store.path)
    try:
        problems += [f"{what}: {line}" for line in store.connections.read(store.place.integrity)]
        problems += store.connections.read(problems_of_tables)
    except Exception as error:  # noqa: BLE001  a damaged database may say anything
        problems.append(f"{what}: {_said(error)}")
    return problems


class _Rows:
    """What is found in looking at every row of a store.

    Attributes:
        problems: a line each.
        count: rows by status, and those `without` a digest.
    """

    def __init__(self, store: LabelStore) -> None:
        self.connections = store.connections
        self.problems, self.count = list[str](), Counter[str]()
        self._levels = Levels()
        self._searched: dict[int, dict[str, Any]] | None = None
        try:
            self._searched = self.connections.read(_searched)
        except Exception as error:  # noqa: BLE001  a damaged database may say anything
            self.problems.append(f"{without_passwords(store.path)}: {_said(error)}")

    def look_at(self) -> None:
        last = 0
        while True:
            try:
                found = self.connections.read(partial(_read, after=last))
            except Exception as error:  # noqa: BLE001  a damaged database may say anything
                self.problems.append(f"rows after {last} cannot be read: {_said(error)}")
                return
            if not found:
                return
            rows = [row for _, row in found if isinstance(row, Row)]
            ids, sound = frame_ids(rows), plainly_sound(rows, LIMITS)
            for last, row in found:
                try:
                    if isinstance(row, Exception):
                        raise row
                    self._look_at_one(last, row, ids, sound)
                except Exception as error:  # noqa: BLE001  so may a damaged row
                    self.problems.append(f"row {last} cannot be read: {_said(error)}")

    def _look_at_one(self, number: int, row: Row, ids: Mapping[int, str], sound: Set[int]) -> None:
        self.problems += [f"row {number}: {each}" for each in _row_problems(row, self._levels, ids, sound)]
        told = {key: row.columns[key] for key in SEARCHED if key in row.columns}
        if self._searched is not None and told != self._searched.get(number):
            found = self._searched.get(number)
            self.problems.append(f"row {number}: searching finds {found}, it says {told}")
        self.count[str(row.columns["status"])] += 1
        self.count["without"] += "digest" not in row.data


def _read(database: Database, *, after: int) -> list[tuple[int, Row | Exception]]:
    sql = f"SELECT {COLUMNS} FROM systems WHERE id > ? ORDER BY id LIMIT {AT_ONCE}"
    found = list[tuple[int, Row | Exception]]()
    for values in fetch(database, sql, (after,)):
        try:
            found.append((values[0], Row.read(values, database)))
        except Exception as error:  # noqa: BLE001  told with its row
            found.append((values[0], error))
    return found


def _searched(database: Database) -> dict[int, dict[str, Any]]:
    """What the tables that ase.db searches by say of each row."""
    marks = ", ".join("?" * len(SEARCHED))
    told: dict[int, dict[str, Any]] = {}
    for table in ("text_key_values", "number_key_values"):
        sql = f"SELECT id, key, value FROM {table} WHERE key IN ({marks})"
        for number, key, value in fetch(database, sql, SEARCHED):
            told.setdefault(number, {})[key] = value
    return told


def _row_problems(row: Row, levels: Levels, ids: Mapping[int, str], sound: Set[int]) -> Iterator[str]:
    if (spelled := row.identity_by_columns) != row.identity:
        yield f"its columns say {spelled}, its identity {row.identity}"
        return
    frame_id, _, level_key = row.identity.partition("-")
    has_digest = row.data.get("digest") is not None
    quick = has_digest and not row.constraints  # else the frame itself must show that it can be read
    if ((ids.get(row.id) if quick else None) or row.frame.id) != frame_id:
        yield f"frame {row.identity} was altered"
        return
    if not row.is_as_written:
        yield f"the values of {row.identity} were altered: their digest is not the one that was written"
        return
    status = row.status
    if status == FAILED:
        if row.failure.kind != row.columns.get("failure"):
            yield f"{row.identity} failed, and its kind of failure was altered"
    elif status != LABELLED or "failure" in row.data:
        yield f"the status of {row.identity} was altered; it is {status!r}"
    else:
        what, provenance = f"frame {frame_id} at {level_key}", row.data["provenance"]
        told = provenance.get("level")
        if level_key not in levels or levels[level_key][0] != told:
            levels[level_key] = (told, *_level_told(row.label))
        _, key, words = levels[level_key]
        if key != level_key and words:
            yield f"{what}: {words}"
        if "released" not in provenance and (faults := _faults(row, row.id in sound and has_digest)):
            yield f"{what}: {'; '.join(faults)}"


def _faults(row: Row, is_sound: bool) -> list[str]:
    """What a label of this row would be rejected for; `is_sound`: not for its forces."""
    if is_sound:
        return faults_of_electrons(row.data["provenance"], row.columns["spin"], LIMITS)
    return values_and_faults(row.frame, row.label, LIMITS)[1]


def _level_told(label: Label) -> tuple[str | None, str]:
    """The key of the level that the provenance tells, and what to say where it is not the label's."""
    try:
        level = level_of(label)
    except ValidationError as error:
        return None, f"its level of theory cannot be read: {error.errors()[0]['msg']}"
    if level is None:
        return None, ""
    return level.key, f"its provenance tells another level, {level.name} ({level.key})"


def _said(error: Exception) -> str:
    """In one line."""
    words = " ".join(without_passwords(error).split())[:200]
    return f"{words or 'no reason given'} ({type(error).__name__})"
