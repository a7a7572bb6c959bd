"""How torch's OpenMP threads wait."""

from __future__ import annotations

import os


def let_waiting_threads_sleep() -> None:
    """Set the environment that libgomp reads when torch loads it, so call this before.

    Threads that wait then spin for about 0.1 ms and sleep. By default they spin on, which slows small
    models down more than tenfold as soon as anything else wants the cores; if they never spin, each of
    the many short parallel parts wakes them anew.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
