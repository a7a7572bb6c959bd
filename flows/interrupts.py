"""Ctrl-C, SIGTERM as batch systems and `kill` send it, SIGHUP of a terminal: what was begun is put away.

An interrupt is an exception that arises between any two instructions, also inside a library that swallows
it: an import with a bare `except`, or an event loop that takes it as the cancellation of a request (asyncio
installs a handler of its own where it finds Python's). So the handler also remembers, and long work asks.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupt:
    """A signal handler that raises KeyboardInterrupt and remembers that it did."""

    heard = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.heard = True
        raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[None]:
    """Within it `SIGNALS` raise KeyboardInterrupt in the main thread; only there can this be set.

    A signal that is ignored, as SIGINT is in a shell's background job and SIGHUP with `nohup`, stays so.
    """
    if threading.current_thread() is not threading.main_thread() or isinstance(
        signal.getsignal(signal.SIGINT), _Interrupt
    ):
        yield
        return
    ours = _Interrupt()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, ours)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_if_interrupted() -> None:
    """Raise the interrupt that came before, in case that it was swallowed.

    Raises:
        KeyboardInterrupt: after one of `SIGNALS` within `interrupts`.
    """
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, _Interrupt) and handler.heard:
            raise KeyboardInterrupt
