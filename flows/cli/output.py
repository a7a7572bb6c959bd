"""Where a command's results go: looked at before the work, so that nothing is lost at its end."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from flows.cli.open_store import is_store
from flows.errors import ConfigError

KEPT = (".yaml", ".yml", ".json", ".safetensors", ".h5")
"""What no command's result replaces: settings, and parts of potentials."""


def require_output(output: Path, *, reads: Iterable[Path | str] = ()) -> None:
    """Make sure that a file of results can be written, and that nothing else is lost by it.

    Args:
        reads: files that the command reads, and folders, whose files it does not replace.

    Raises:
        ConfigError: for the name of a label store, of settings, or of something that the command reads.
        OSError: where the file cannot be written; its folder is made.
    """
    if is_store(output):
        raise ConfigError(output, ["is the name of a label store, which would be lost; name another output"])
    if output.suffix.lower() in KEPT and output.exists():
        raise ConfigError(output, ["is there already, and is no table or structures; name another output"])
    for source in map(Path, reads):
        if output.exists() and _is_within(output, source):
            raise ConfigError(output, [f"would replace what is read from {source}; name another output"])
    if output.exists() and not output.is_file():
        raise FileExistsError(errno.EEXIST, "not a file", str(output))
    require_folder(output.parent)


def require_folder(folder: Path) -> None:
    """Make a folder of results, and sure that files can be written in it.

    Raises:
        OSError: where they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(folder)) from error


def keep_earlier(output: Path) -> Path | None:
    """Give an earlier file of results another name, `md.1.extxyz`; None where there is none."""
    if not output.is_file() or output.stat().st_size == 0:
        return None
    names = (output.with_name(f"{output.stem}.{i}{output.suffix}") for i in count(1))
    return output.rename(next(name for name in names if not name.exists()))


def _is_within(path: Path, source: Path) -> bool:
    path, source = path.resolve(), source.resolve()
    return path == source or (source.is_dir() and source in path.parents)
