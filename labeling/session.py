"""A worker process and all that its labeler has started: what they use together, and their end.

A labeler may run other programs. They stay in the session that the worker leads, whatever process group
they make for themselves, as long as they do not ask for a session of their own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PASSES = 2  # what a member started while the first pass went on


def family_bytes(pid: int) -> int:
    """Memory that a process and its descendants have in use; 0 where the system does not tell (not Linux).

    Pages that descendants share, as after a fork, are counted once.
    """
    own = 0
    with suppress(OSError, IndexError):
        own = int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
    return own + sum(map(_proportional_bytes, _descendants(pid)))


def kill_session(leader: int) -> None:
    """SIGKILL for every process of the session that `leader` leads or led; for this process last."""
    me = os.getpid()
    if leader != me:
        _kill_group(leader)  # first, for who is dead starts nothing more
    for _ in range(PASSES):
        for pid in _session(leader):
            if pid != me:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    if leader == me:
        _kill_group(me)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left, or only what has ended already
        os.killpg(leader, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for children in (PROC / str(pid) / "task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from _descendants(child)


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _session(leader: int) -> list[int]:
    return [int(path.name) for path in PROC.glob("[0-9]*") if _session_of(path) == leader]


def _session_of(process: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        # the name, in parentheses, may hold anything
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    return None
