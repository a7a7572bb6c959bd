"""What runs in a worker process: labels, one after the other, until the parent hangs up.

Started by `labeling.process` as `python -m labeling.child FD PARENT SCRATCH`, which also enforces the
limits of time and memory.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from labeling.attempt import attempt
from labeling.failure import CannotLabelError, LabelFailure
from labeling.session import kill_session
from potential.data.dataset import Label

ORPHAN_CHECK_S = 1.0
GRACE_S = 60


def main(descriptor: int, parent: int, scratch: str) -> None:
    """Answer each `(frame, level, conditions, timeout_s)` with a label or a failure."""
    faulthandler.enable()
    threading.Thread(target=_die_with, args=(parent, scratch), daemon=True).start()
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, BrokenPipeError):
        connection.send("ready")
        while True:
            frame, level, conditions, timeout_s = connection.recv()
            # The parent enforces the time limit. Should it be gone while compiled code holds the
            # interpreter, the kernel ends this process: SIGALRM has no handler.
            signal.alarm(int(timeout_s) + GRACE_S)
            outcome: Label | LabelFailure | CannotLabelError
            try:
                outcome = attempt(frame, level, conditions)
            except CannotLabelError as error:
                outcome = CannotLabelError(str(error))
            signal.alarm(0)
            connection.send(outcome)


def _die_with(parent: int, scratch: str) -> None:
    """End this process, and all that it started, when its parent has died, even by SIGKILL."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    shutil.rmtree(scratch, ignore_errors=True)
    kill_session(os.getpid())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
