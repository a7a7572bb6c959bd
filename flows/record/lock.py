"""One process at a time on a campaign, or on a training outside of one."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from flows.errors import CampaignLockedError
from potential.data.atomic_write import remove_parts, write_atomically

PATIENCE_S = 1.0
"""Longer than `is_locked` of another process holds the lock to try it."""


@contextmanager
def campaign_lock(folder: Path) -> Iterator[None]:
    """Hold the campaign, cleared of what killed writers left in it; nested use within one process is fine.

    Raises:
        CampaignLockedError: as `folder_lock`.
    """
    with folder_lock(folder):
        remove_parts(folder)
        yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder, which may have more in it than ours.

    The operating system holds the lock, so that it vanishes with its process, however that ends.

    Raises:
        CampaignLockedError: with the process and host that hold it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One object per path and process, counted: the command line locks before the flow does.
    lock = FileLock(folder / "campaign.lock", timeout=PATIENCE_S, is_singleton=True, thread_local=False)
    # The lock file itself is emptied whenever somebody tries the lock, so the holder signs beside it.
    signature = folder / ".campaign.holder.json"
    try:
        lock.acquire()
    except Timeout:
        raise CampaignLockedError(
            f"{folder} is in use by {_holder(signature)}.\n"
            "Wait for it, or stop it (Ctrl-C there is safe: the same command goes on where it was)."
        ) from None
    try:
        write_atomically(
            signature,
            json.dumps(
                {
                    "pid": os.getpid(),
                    "host": socket.gethostname(),
                    "since": datetime.now().astimezone().isoformat(timespec="seconds"),
                }
            ),
        )
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> str | None:
    """Who works on the campaign now, None if nobody does; the folder need not be writable."""
    try:
        with (folder / "campaign.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go when the file is closed
    except BlockingIOError:
        return _holder(folder / ".campaign.holder.json")
    except OSError:  # there is no lock, or it is not ours to try
        return None
    return None


def _holder(signature: Path) -> str:
    try:
        holder = json.loads(signature.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on host {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
