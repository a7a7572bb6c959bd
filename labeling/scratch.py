"""Scratch folders of label workers; those that killed processes left behind are removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import final

PREFIX, OWNER = "alnico-label-", "owner.lock"


@final
class ScratchFolder:
    """A folder that goes with `cleanup`, at the end of this process, or, after `kill -9`, with the next one.

    The operating system holds a lock on a file in it for as long as its owner lives.
    """

    def __init__(self) -> None:
        remove_abandoned()
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        self.name = self._folder.name
        unlocked = Path(self.name, f"{OWNER}.new")
        self._owner = os.open(unlocked, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        unlocked.rename(Path(self.name, OWNER))  # locked before others can see it

    def cleanup(self) -> None:
        self._folder.cleanup()
        os.close(self._owner)


def remove_abandoned() -> None:
    """Remove the scratch folders whose owner is dead."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        try:
            lock = os.open(owner, os.O_RDWR)
        except OSError:  # gone, or another user's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # alive
        else:
            shutil.rmtree(owner.parent, ignore_errors=True)
        finally:
            os.close(lock)
