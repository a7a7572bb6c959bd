"""What was computed while the label store could not be written: a file beside it, until the store takes it.

Where that cannot be written either, as on a full disk, the file is in the user's cache.

JSON lines, each a frame with its label or failure and a digest of both. Read as plain data; a line whose
digest is not its own is left where it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any, final

import numpy as np

from labeling.digest import canonical_json
from labeling.failure import LabelFailure
from labeling.location import is_url, without_passwords
from labeling.store import LabelStore
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.user_cache import user_cache

FIRST_PATIENCE_S, NEXT_PATIENCE_S = 10.0, 1.0
"""How long to wait for the store with one outcome; and where others are waiting already."""

MOST_TOLD = 5
"""Of the lines that were not taken."""


class StoreAwayError(Exception):
    """The store cannot be written, and what was computed waits in the spool; the message says where."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a spool: outcomes that the store has now, and lines that it cannot have, and why."""

    where: str = ""
    outcomes: int = 0
    refused: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """What to tell the user, line by line."""
        said = f"{self.outcomes} labels that waited in {self.where} are in the label store now"
        lines = [f"not taken: {line}; correct the line, or delete it" for line in self.refused[:MOST_TOLD]]
        if more := self.refused[MOST_TOLD:]:
            lines.append(f"not taken: {len(more)} more")
        return [*([said] if self.outcomes else []), *lines]


@final
class Spool:
    """A file of outcomes that wait for their store; several processes may use it at once."""

    def __init__(self, path: Path, elsewhere: Path | None = None) -> None:
        """
        Args:
            elsewhere: the file where `path` cannot be written; this user's alone.
        """
        self.path, self.elsewhere = path, elsewhere

    @classmethod
    def beside(cls, location: str | Path, folder: Path) -> Spool:
        """That of a store: beside its file; of a database by URL in `folder`."""
        path = Path(f"{location}.spool.jsonl")
        if is_url(location):
            path = folder / f"labels.{_short_hash(without_passwords(location))}.spool.jsonl"
        with suppress(OSError):  # no home
            return cls(
                path, user_cache() / f"{_short_hash(str(path.parent.resolve() / path.name))}.spool.jsonl"
            )
        return cls(path)

    def record(self, store: LabelStore, frame: Frame, outcome: Label | LabelFailure) -> bool:
        """Write what became of a frame into the store, or, where that is out of reach, here.

        Whatever keeps the store from taking it, it is kept.

        Returns:
            Whether it is in the store.

        Raises:
            Exception: what the store says, other than that it is locked or away; the outcome is here then.
        """
        others = self.is_waiting
        patience_s = NEXT_PATIENCE_S if others else FIRST_PATIENCE_S
        try:
            store.record(frame, outcome, patience_s=patience_s)
        except BaseException as error:
            if outcome.frame_id == frame.id:
                self._append(frame, outcome)
            if not (isinstance(error, Exception) and store.place.is_away(error)):
                raise
            return False
        if others:
            with suppress(StoreAwayError):
                self.empty_into(store, patience_s=NEXT_PATIENCE_S)
        return True

    @property
    def waiting(self) -> list[Path]:
        """The files of it in which there is anything."""
        paths = [self.path] if self.elsewhere is None else [self.path, self.elsewhere]
        return [path for path in paths if path.exists() and path.stat().st_size > 0]

    @property
    def where(self) -> str:
        """Those files, in words."""
        return " and ".join(map(str, self.waiting))

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.waiting)

    def empty_into(self, store: LabelStore, *, patience_s: float | None = None) -> Taken:
        """Have the store take everything; what it has already is left as it is.

        Args:
            patience_s: how long to wait for the store; None: as long as it waits by itself.

        Raises:
            StoreAwayError: if it is still locked, or out of reach.
        """
        where = self.where
        taken = [self._empty(path, store, patience_s) for path in self.waiting]
        return Taken(
            where=where,
            outcomes=sum(each.outcomes for each in taken),
            refused=tuple(line for each in taken for line in each.refused),
        )

    def _empty(self, path: Path, store: LabelStore, patience_s: float | None) -> Taken:
        if path == self.elsewhere and path.stat().st_uid != os.geteuid():
            return Taken(refused=(f"{path} belongs to another user",))
        with _held(path, "r+b") as file:
            taken, left, refused = 0, list[bytes](), list[str]()
            lines = file.read().splitlines(keepends=True)
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    frame, outcome = _read(line)
                except (ValueError, TypeError, KeyError) as error:
                    left.append(line)
                    why = f"has no {error}" if isinstance(error, KeyError) else error
                    refused.append(f"{path}, line {number}: {why}")
                    continue
                try:
                    store.record(frame, outcome, patience_s=patience_s)
                except Exception as error:
                    if not store.place.is_away(error):
                        raise
                    raise StoreAwayError(
                        f"{len(lines)} labels wait in {path}: the label store "
                        f"{without_passwords(store.path)} cannot be written "
                        f"({without_passwords(error).strip()}). The next command that opens it takes them in."
                    ) from error
                taken += 1
            file.seek(0)
            file.truncate()
            file.writelines(left)
            if not left:
                path.unlink()
        return Taken(outcomes=taken, refused=tuple(refused))

    def _append(self, frame: Frame, outcome: Label | LabelFailure) -> None:
        content = _plain(frame, outcome)
        line = json.dumps({"digest": _digest(content), **content}).encode() + b"\n"
        try:
            _append(self.path, line)
        except OSError:
            if self.elsewhere is None:
                raise
            self.elsewhere.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _append(self.elsewhere, line)


def _append(path: Path, line: bytes) -> None:
    """Write a line to the end, whole or not at all.

    Raises:
        OSError: where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path, "ab") as file:
        before = file.seek(0, os.SEEK_END)
        rest = line if _ends_a_line(path) else b"\n" + line
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, before)
            raise


@contextmanager
def _held(path: Path, mode: str) -> Iterator[FileIO]:
    """The file, locked; not one that another process has just emptied and removed."""
    while True:
        with FileIO(path, mode) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    yield file
                    return


def _ends_a_line(path: Path) -> bool:
    """Not after `kill -9` in the middle of one."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _plain(frame: Frame, outcome: Label | LabelFailure) -> dict[str, Any]:
    kind = "label" if isinstance(outcome, Label) else "failure"
    content = {"frame": _values(frame), kind: _values(outcome)}
    return dict(json.loads(json.dumps(content)))


def _values(record: Frame | Label | LabelFailure) -> dict[str, Any]:
    found = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: _plain_value(value) for name, value in found.items()}


def _plain_value(value: Any) -> Any:
    match value:
        case np.ndarray():
            return value.tolist()
        case Label():
            return _values(value)
        case tuple():
            return list(value)
        case _:
            return value


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()[:32]


def _read(line: bytes) -> tuple[Frame, Label | LabelFailure]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("was cut off, or is no JSON") from None
    if not isinstance(content, dict) or content.pop("digest", None) != _digest(content):
        raise ValueError("was altered: its digest is not its own")
    frame = Frame.of(**content["frame"])
    if "label" in content:
        return frame, _label(content["label"], frame)
    failure = dict(content["failure"])
    label = failure.pop("label")
    failed = LabelFailure(**failure, label=None if label is None else _label(label, frame))
    _require(failed.frame_id == frame.id, "its failure is that of another frame")
    return frame, failed


def _label(values: dict[str, Any], frame: Frame) -> Label:
    forces = np.array(values["forces"], dtype=np.float64).reshape(len(frame), 3)
    stress = None
    if values["stress"] is not None:
        stress = np.array(values["stress"], dtype=np.float64).reshape(3, 3)
    label = Label(**{**values, "energy": float(values["energy"]), "forces": forces, "stress": stress})
    _require(label.frame_id == frame.id, "its label is that of another frame")
    finite = all(np.isfinite(v).all() for v in (label.energy, forces, stress) if v is not None)
    _require(finite, "its numbers are not finite")
    return label


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
