"""A worker process that computes one label at a time and can be killed at any moment.

Plain `subprocess`, not a pool of `multiprocessing`: a spawned pool imports the caller's main module in
every worker (a command line with torch and Prefect behind it), and cannot give the workers their own
environment. OpenMP reads its environment once, when the process starts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path

from labeling.attempt import Conditions
from labeling.failure import CannotLabelError, LabelFailure
from labeling.level import LevelOfTheory
from labeling.scratch import ScratchFolder
from labeling.session import family_bytes, kill_session
from potential.data.dataset import Label
from potential.data.frame import Frame

START_TIMEOUT_S = 120.0
POLL_S = 0.2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# PySCF sizes its buffers by what it is told it may use; the rest is for what it does not count.
PYSCF_SHARE_OF_MEMORY = 0.5


class CrashedError(Exception):
    """The process died while it computed a label; the message says how."""


class TimedOutError(Exception):
    """The label took too long; the process was killed."""


class OutOfMemoryError(Exception):
    """The label took more memory than it may; the process was killed."""


class WorkerProcess:
    """One child process, single-threaded, with a scratch folder and a session of its own.

    It dies with all that its labeler has started, and the memory of those counts with its own. The limit
    is on what is really used (resident), where Linux tells it; a limit on addresses (RLIMIT_AS) would not
    do, for PySCF reserves gigabytes that it never touches.

    Raises:
        RuntimeError: if the process cannot start (then no label can be computed at all).
    """

    def __init__(self, *, memory_GB: float) -> None:
        self._memory_GB = memory_GB
        self._scratch = ScratchFolder()
        self._stderr_path = Path(self._scratch.name) / "stderr.txt"
        self._killing, self._killed = threading.Lock(), False
        self._connection, theirs = Pipe()
        arguments = (theirs.fileno(), os.getpid(), self._scratch.name)
        with theirs, self._stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "labeling.child", *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                env=_environment(memory_GB, self._scratch.name),
                cwd=self._scratch.name,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Ctrl-C in the terminal reaches the parent only, which decides; and whatever the labeler
                # starts is of this session, so that it can be found.
                start_new_session=True,
            )
        try:
            if not self._connection.poll(START_TIMEOUT_S):
                raise EOFError
            self._connection.recv()
        except (EOFError, OSError):
            ending = self._ending()
            raise RuntimeError(
                f"a label worker could not start ({ending}); see what "
                f"`{sys.executable} -c 'import labeling.child'` says"
            ) from None
        except BaseException:  # interrupted while it started: nobody else knows of it
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(
        self, frame: Frame, level: LevelOfTheory, conditions: Conditions, *, timeout_s: float
    ) -> Label | LabelFailure:
        """Compute one label. Whatever is raised, the process is dead afterwards and must be replaced.

        Raises:
            OutOfMemoryError: above the memory limit.
            TimedOutError: after `timeout_s`.
            CrashedError: if the process died.
            CannotLabelError: if it can label nothing.
        """
        try:
            self._connection.send((frame, level, conditions, timeout_s))
            deadline = time.monotonic() + timeout_s
            while not self._connection.poll(min(POLL_S, max(deadline - time.monotonic(), 0))):
                if time.monotonic() >= deadline:
                    raise TimedOutError(f"{frame.formula} at {level.name} was not done after {timeout_s:g} s")
                if (used := family_bytes(self.pid) / 1e9) > self._memory_GB:
                    raise OutOfMemoryError(
                        f"{frame.formula} at {level.name} had taken {used:.2f} GB of {self._memory_GB:g} GB"
                    )
            outcome: Label | LabelFailure | CannotLabelError = self._connection.recv()
        except (EOFError, OSError) as error:
            raise CrashedError(f"{frame.formula} at {level.name}: {self._ending()}") from error
        except BaseException:
            self.kill()
            raise
        if isinstance(outcome, CannotLabelError):
            self.kill()
            raise outcome
        return outcome

    def kill(self) -> None:
        """Stop the process and all that it started at once, and remove its scratch folder."""
        with self._killing:
            if self._killed:
                return  # its number may be another's by now
            kill_session(self.pid)
            self._process.wait()
            self._scratch.cleanup()
            self._killed = True

    def _ending(self) -> str:
        """How the process died; kills it first if it only hung up."""
        try:
            status = self._process.wait(timeout=5)
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        except subprocess.TimeoutExpired:
            how = "it no longer answered"
        last_lines = ""
        if self._stderr_path.exists():
            last_lines = "\n".join(self._stderr_path.read_text(errors="replace").splitlines()[-5:])
        self.kill()
        return f"{how}\n{last_lines}".rstrip()


def _environment(memory_GB: float, scratch: str) -> dict[str, str]:
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
        "PYSCF_MAX_MEMORY": str(int(memory_GB * 1000 * PYSCF_SHARE_OF_MEMORY)),
        "PYSCF_TMPDIR": scratch,
        "TMPDIR": scratch,
    }
