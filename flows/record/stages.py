"""Stages of a campaign that are done once.

A stage is a folder. Its `manifest.json` is written last, atomically: if it is there, the stage is
finished, and it says from which inputs and with which outputs. A rerun skips finished stages, makes
half-done ones anew, and refuses to build on a stage that was made from other inputs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from flows.errors import DamagedFileError, StageChangedError
from flows.record.stage_inputs import as_json, as_now, difference, flat
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.sealed import sealed, unsealed

MANIFEST = "manifest.json"
STARTED = "started.json"
MOST_SHOWN = 8
"""Of the inputs that are others."""


class Manifest(Config):
    """A finished stage: what it was made from, and what it made (path in the folder -> SHA-256)."""

    inputs: dict[str, JsonValue]
    outputs: dict[str, str]
    seconds: float
    finished_at: str


def remedy_in_a_campaign(folder: Path) -> str:
    """What has to go for the stage to be redone, with all that was built on it."""
    if folder.parent.name.isdigit():
        built = f"{folder.parent} and the rounds after it"
    else:
        campaign = folder.parent.parent if folder.parent.name == "pretraining" else folder.parent
        built = f"{folder} and {campaign / 'rounds'}"
    return (
        f"Either put the setting back, or start a new campaign under another `name`, or delete {built}\n"
        "to redo them with the new settings; labels stay in labels.db and are not computed again."
    )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage as it is declared, once, in `flows.record.table`.

    Attributes:
        name: its folder's name.
        title: what people read.
        inputs: names of all that decides its outputs; a finished stage keeps their values.
        outputs: files that it leaves, among others.
        half_done: make a half-done stage anew in an emptied folder, or hand it over as it is, for a stage
            that goes on from its own checkpoints. From other inputs it is always made anew.
        changed: refuse a finished stage whose inputs changed, or make it anew, for a stage that only
            gathers what others made.
        grows: inputs that may change in a finished stage, numbers only upwards. It is then made beside the
            old one, from which `make` takes what it held, and takes its place.
        later: inputs that came with a later version, and what they were before.
        remedy: what to do about a finished stage whose inputs changed, by its folder.
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    half_done: Literal["make anew", "go on"] = "make anew"
    changed: Literal["refuse", "make anew"] = "refuse"
    grows: tuple[str, ...] = ()
    later: Mapping[str, JsonValue] = field(default_factory=dict)
    remedy: Callable[[Path], str] = remedy_in_a_campaign

    def run(self, folder: Path, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Manifest:
        """Run `make(folder)` unless it has been done from these inputs before.

        Args:
            inputs: the value of each declared input: JSON values, or what `Settings` holds.

        Raises:
            StageChangedError: if the stage is finished, but from other inputs, or its files were altered
                since.
        """
        assert set(inputs) == set(self.inputs), f"{self.name}: {set(inputs) ^ set(self.inputs)}"
        _end_exchange(folder)
        now, manifest = as_json(inputs), read_manifest(folder)
        before = _read_json(folder / STARTED) if manifest is None else manifest.inputs
        if before is not None:
            before = {**self.later, **before}
        same = before is not None and as_now(before, inputs) == now
        if manifest is not None and same and _intact(folder, manifest):
            return manifest
        if manifest is not None and not same and self.changed == "refuse":
            then = as_now(before or {}, inputs)
            if not self._grows(then, now):
                raise StageChangedError(_changed(folder, then, now, self.remedy(folder)))
            _intact(folder, manifest)
            beside = folder.with_name(f".{folder.name}.new")
            made = self._made(beside, now, make)
            folder.rename(_old(folder))
            beside.rename(folder)
            _end_exchange(folder)
            return made

        goes_on = self.half_done == "go on" and manifest is None and same
        return self._made(folder, now, make, keep=goes_on)

    def _grows(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
        """Whether nothing is different but what may grow."""
        old, new = flat(before), flat(now)
        different = {key for key in {**old, **new} if old.get(key) != new.get(key)}
        return different <= set(self.grows) and not any(_fell(old.get(k), new.get(k)) for k in different)

    def _made(
        self, folder: Path, now: Mapping[str, Any], make: Callable[[Path], None], *, keep: bool = False
    ) -> Manifest:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STARTED, json.dumps(now, indent=2))
        began = time.perf_counter()
        make(folder)
        manifest = Manifest(
            inputs=dict(now),
            outputs=_digests(folder),
            seconds=round(time.perf_counter() - began, 3),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        missing = set(self.outputs) - set(manifest.outputs)
        assert not missing, f"the stage {self.name} has not made {missing}"
        write_atomically(folder / MANIFEST, sealed(manifest.model_dump(mode="json")))
        (folder / STARTED).unlink()
        return manifest


def _fell(before: Any, now: Any) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now < before


def _old(folder: Path) -> Path:
    """Where a stage waits while one that grew takes its place."""
    return folder.with_name(f".{folder.name}.old")


def _end_exchange(folder: Path) -> None:
    """Finish, or undo, an exchange in which the run was killed."""
    if not (old := _old(folder)).exists():
        return
    if folder.exists():
        shutil.rmtree(old)
    else:
        old.rename(folder)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished stage, None for one that is not finished.

    Raises:
        DamagedFileError: where it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate(unsealed(path.read_bytes())) if path.exists() else None
    except (ValueError, IsADirectoryError):
        raise DamagedFileError(
            f"{path} is damaged. Put the original back, or delete {folder} to make the stage anew; "
            "labels stay in the store."
        ) from None


def is_finished(folder: Path) -> bool:
    """Whether the stage is done."""
    return (folder / MANIFEST).exists()


def is_started(folder: Path) -> bool:
    """Whether the stage was begun and is not done."""
    return (folder / STARTED).exists()


def is_intact(folder: Path) -> bool:
    """Whether the stage is finished, and its files are there as it wrote them.

    Raises:
        StageChangedError: for a file that was altered since.
    """
    manifest = read_manifest(folder)
    return manifest is not None and _intact(folder, manifest)


def _intact(folder: Path, manifest: Manifest) -> bool:
    """Whether all outputs are there, as files. Raises StageChangedError if one is there, but altered."""
    for name, digest in manifest.outputs.items():
        path = folder / name
        if not path.is_file():
            return False
        if _digest(path) != digest:
            raise StageChangedError(
                f"{path} is not what its stage wrote on {manifest.finished_at}: it was altered since.\n"
                f"Put the original back, or delete {folder} to make the stage anew."
            )
    return True


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (MANIFEST, STARTED))
    return {path.relative_to(folder).as_posix(): _digest(path) for path in files}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.is_file() else None
    except (ValueError, RecursionError):  # damaged: the stage is made anew
        return None


def _changed(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], remedy: str) -> str:
    lines = [f"  {line}" for line in difference(before, now)]
    if len(lines) > MOST_SHOWN:
        lines = [*lines[:MOST_SHOWN], f"  and {len(lines) - MOST_SHOWN} more"]
    return "\n".join([f"{folder} is finished, but it was made from other inputs:", *lines, remedy])
