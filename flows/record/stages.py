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

from pydantic import JsonValue, ValidationError

from flows.errors import DamagedFileError, StageChangedError
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


@dataclass(frozen=True)
class Settings:
    """A configuration as an input of a stage, without the fields that do not change its outputs.

    A field that the configuration got since the stage was made had its default then.

    Attributes:
        ignored: fields that do not change the outputs.
        read: reads what a manifest says; needed where the configuration is one of several types.
    """

    config: Config
    ignored: frozenset[str] = frozenset()
    read: Callable[[Any], Config] | None = None

    def as_json(self) -> dict[str, Any]:
        """As JSON. Of a path the name alone counts: a campaign and its files may be moved."""
        plain, values = (
            self.config.model_dump(mode=mode, exclude=set(self.ignored)) for mode in ("json", "python")
        )
        named: dict[str, Any] = _names_of_paths(plain, values)
        return named

    def as_now(self, before: Any) -> Any:
        """What a manifest says of this configuration, in today's fields; as it is if that cannot be."""
        ignored = self.config.model_dump(mode="json", include=set(self.ignored))
        read = self.read or type(self.config).model_validate
        try:
            return Settings(read({**before, **ignored}), self.ignored).as_json()
        except (TypeError, ValueError):
            return before


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
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    half_done: Literal["make anew", "go on"] = "make anew"
    changed: Literal["refuse", "make anew"] = "refuse"
    grows: tuple[str, ...] = ()
    later: Mapping[str, JsonValue] = field(default_factory=dict)

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
        now, manifest = _as_json(inputs), read_manifest(folder)
        before = _read_json(folder / STARTED) if manifest is None else manifest.inputs
        if before is not None:
            before = {**self.later, **before}
        same = before is not None and _as_now(before, inputs) == now
        if manifest is not None and same and _intact(folder, manifest):
            return manifest
        if manifest is not None and not same and self.changed == "refuse":
            then = _as_now(before or {}, inputs)
            if not self._grows(then, now):
                raise StageChangedError(_changed(folder, then, now))
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
        old, new = _flat(before), _flat(now)
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
        write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=2))
        (folder / STARTED).unlink()
        return manifest


def _names_of_paths(plain: Any, value: Any) -> Any:
    """What JSON says of a value, with names in place of paths."""
    match value:
        case Path():
            return value.name
        case Mapping():
            return {key: _names_of_paths(item, value[key]) for key, item in plain.items()}
        case list() | tuple():
            return [_names_of_paths(one, each) for one, each in zip(plain, value, strict=True)]
        case _:
            return plain


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
        return Manifest.model_validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError:
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
    try:
        return json.loads(path.read_bytes()) if path.exists() else None
    except ValueError:  # damaged: the stage is made anew
        return None


def _as_json(inputs: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: v.as_json() if isinstance(v, Settings) else v for key, v in inputs.items()}
    loaded: dict[str, Any] = json.loads(json.dumps(plain))
    return loaded


def _as_now(before: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: now.as_now(value) if isinstance(now := inputs.get(key), Settings) else value
        for key, value in before.items()
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`training.max_epochs: was 12, is now 20`, for each value that is another."""
    old, new = _flat(before), _flat(now)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: was {_show(old, key)}, is now {_show(new, key)}" for key in keys]


def _changed(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    lines = [f"  {line}" for line in difference(before, now)]
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
