"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def atomically(path: Path) -> Iterator[TextIO]:
    """A stream whose content is the file at the end of this context, whatever happens: readers find the
    old text or the new, never a part. Its folder is made.

    Raises:
        FileExistsError: where something else than a file has its name, such as a folder or a device.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "not a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:  # a full disk, Ctrl-C
        part.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Remove the parts of files below a folder that writers on this host left, killed with -9."""
    for part in folder.rglob(f".*.{glob.escape(socket.gethostname())}.[0-9]*.part"):
        pid = part.stem.rpartition(".")[2]
        if pid.isdecimal() and part.is_file() and not _is_running(int(pid)):
            part.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def write_atomically(path: Path, text: str) -> None:
    """Write a file `atomically`."""
    with atomically(path) as stream:
        stream.write(text)
