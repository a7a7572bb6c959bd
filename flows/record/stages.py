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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from flows.errors import StageChangedError
from potential.data.atomic_write import write_atomically
from potential.data.config import Config

MANIFEST = "manifest.json"
STARTED = "started.json"


class Manifest(Config):
    """A finished stage: what it was made from, and what it made (path in the folder -> SHA-256)."""

    inputs: dict[str, JsonValue]
    outputs: dict[str, str]
    seconds: float
    finished_at: str


def run_stage(
    folder: Path,
    inputs: Mapping[str, Any],
    make: Callable[[Path], None],
    *,
    keep_partial: bool = False,
    redo_if_changed: bool = False,
) -> Manifest:
    """Run `make(folder)` unless it has been done from these inputs before.

    Args:
        inputs: everything that decides the outputs, as JSON values.
        keep_partial: a half-done folder from the same inputs is handed to `make` as it is, for a
            stage that goes on from its own checkpoints; otherwise it is emptied first.
        redo_if_changed: make a finished stage anew when its inputs changed, for a stage that only
            gathers what others made.

    Raises:
        StageChangedError: if the stage is finished, but from other inputs, or its files were altered since.
    """
    inputs = _as_json(inputs)
    manifest = read_manifest(folder)
    if manifest is not None and manifest.inputs != inputs and not redo_if_changed:
        raise StageChangedError(_changed(folder, manifest.inputs, inputs))
    if manifest is not None and manifest.inputs == inputs and _intact(folder, manifest):
        return manifest

    if not (keep_partial and manifest is None and _read_json(folder / STARTED) == inputs):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / STARTED, json.dumps(inputs, indent=2))
    began = time.perf_counter()
    make(folder)
    manifest = Manifest(
        inputs=inputs,
        outputs=_digests(folder),
        seconds=round(time.perf_counter() - began, 3),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=2))
    (folder / STARTED).unlink()
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished stage, None for one that is not finished."""
    path = folder / MANIFEST
    return Manifest.model_validate_json(path.read_text()) if path.exists() else None


def is_finished(folder: Path) -> bool:
    """Whether the stage is done."""
    return (folder / MANIFEST).exists()


def is_started(folder: Path) -> bool:
    """Whether the stage was begun and is not done."""
    return (folder / STARTED).exists()


def _intact(folder: Path, manifest: Manifest) -> bool:
    """Whether all outputs are there. Raises StageChangedError if one is there, but altered."""
    for name, digest in manifest.outputs.items():
        path = folder / name
        if not path.exists():
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
    return json.loads(path.read_text()) if path.exists() else None


def _as_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(inputs))
    return loaded


def _changed(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    old, new = _flat(before), _flat(now)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    lines = [f"  {key}: was {_show(old, key)}, is now {_show(new, key)}" for key in keys]
    return "\n".join(
        [
            f"{folder} is finished, but it was made from other inputs:",
            *lines,
            f"Either put the setting back, or start a new campaign under another `name`, or delete "
            f"{_to_delete(folder)}",
            "to redo them with the new settings; labels stay in labels.db and are not computed again.",
        ]
    )


def _to_delete(folder: Path) -> str:
    """What has to go for the stage to be redone, with all that was built on it."""
    if folder.parent.name.isdigit():
        return f"{folder.parent} and the rounds after it"
    return f"{folder} and {folder.parent / 'rounds'}"


def _show(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "not set"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
