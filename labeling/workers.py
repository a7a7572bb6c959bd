"""Labels computed in parallel, each in a process that may crash, hang or run out of memory alone."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from concurrent.futures import Future
from queue import LifoQueue
from typing import Annotated

from pydantic import Field, PlainSerializer

from labeling.attempt import Backend, Conditions, Guess
from labeling.checks import CheckLimits
from labeling.cost import with_seconds
from labeling.failure import FailureKind, LabelFailure
from labeling.gpu import require_gpu4pyscf
from labeling.level import LevelOfTheory
from labeling.location import without_passwords
from labeling.process import CrashedError, OutOfMemoryError, TimedOutError, WorkerProcess
from potential.data.config import Config
from potential.data.dataset import Label
from potential.data.frame import Frame


class LabelingConfig(Config):
    """How labels are computed on this machine; none of it changes their numbers."""

    workers: Annotated[
        int | None,
        Field(
            ge=1, le=4096, description="labels computed at once, one thread each; null: one per core; <= 4096"
        ),
    ] = None
    timeout_s: Annotated[
        float,
        Field(ge=0.01, le=3.2e7, description="time limit of one attempt at one label; a year at most"),
    ] = 3600.0
    memory_GB: Annotated[
        float, Field(ge=0.2, le=1e5, description="memory limit of each worker (Linux); 0.2 to 1e5")
    ] = 4.0
    attempts: Annotated[
        int,
        Field(ge=1, le=100, description="tries of a label whose process crashes; after a timeout, 2 at most"),
    ] = 3
    backoff_s: Annotated[
        float,
        Field(ge=0, le=3600, description="wait before the second try, twice as long before the third, ..."),
    ] = 1.0
    backend: Annotated[
        Backend, Field(description="cpu, or gpu with gpu4pyscf: the same labels, compared before it begins")
    ] = "cpu"
    store: Annotated[
        str | None,
        Field(
            description="shared label store: a file, or postgresql://user@host/name with the password in "
            "~/.pgpass or PGPASSWORD; null: labels.db",
            repr=False,
        ),
        # what is written down and shown: campaign.yaml in the folder, report, MLflow
        PlainSerializer(lambda store: store and without_passwords(store), when_used="json"),
    ] = None
    checks: Annotated[CheckLimits, Field(description="what a label must satisfy, else it is quarantined")] = (
        CheckLimits()
    )

    @property
    def workers_here(self) -> int:
        """Labels that this machine computes at once."""
        return self.workers or available_cores()


class LabelingStoppedError(RuntimeError):
    """The workers were closed while this label was waiting or being computed."""


class LabelWorkers:
    """A fixed number of worker processes, started when first needed and kept; a context manager.

    A crash or a hang costs one attempt of one label. What may pass is tried again (a crash up to
    `attempts` times, a timeout once); what would come out the same (SCF not converged, rejected by a
    check, out of memory) is not. Leaving the context, also by Ctrl-C, kills the processes; if this
    process is killed, they end by themselves within seconds.

    Raises:
        CannotLabelError: for `backend: gpu` without gpu4pyscf.
    """

    def __init__(self, config: LabelingConfig | None = None) -> None:
        self.config = config or LabelingConfig()
        if self.config.backend == "gpu":
            require_gpu4pyscf()
        self.workers = self.config.workers_here
        # Last in, first out: a started process is used again before a new one is started.
        self._slots: LifoQueue[WorkerProcess | None] = LifoQueue()
        for _ in range(self.workers):
            self._slots.put(None)
        self._processes: set[WorkerProcess] = set()
        self._running: dict[tuple[str, str, Guess], Future[Label | LabelFailure]] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def label(self, frame: Frame, level: LevelOfTheory, *, guess: Guess = "standard") -> Label | LabelFailure:
        """Label one frame; blocks until done; call it from as many threads as you like.

        A label that another thread is already computing is waited for, not started again.

        Args:
            guess: "second" starts the SCF elsewhere, to see whether it ends in the same state.

        Raises:
            LabelingStoppedError: if the workers are closed meanwhile.
            CannotLabelError: if no frame can be labelled here.
            RuntimeError: if no worker process can start.
        """
        key = (frame.id, level.key, guess)
        with self._lock:
            future = self._running.get(key)
            if mine := future is None:
                future = self._running[key] = Future()
        if not mine:
            return future.result()
        try:
            config = self.config
            conditions = Conditions(limits=config.checks, guess=guess, backend=config.backend)
            future.set_result(self._try(frame, level, conditions))
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[key]
        return future.result()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have been started."""
        with self._lock:
            return [process.pid for process in self._processes]

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """Kill the processes; labels under way end in LabelingStoppedError."""
        with self._lock:
            self._closed.set()
            processes = list(self._processes)
        for process in processes:
            process.kill()

    def __enter__(self) -> LabelWorkers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _try(self, frame: Frame, level: LevelOfTheory, conditions: Conditions) -> Label | LabelFailure:
        attempts, seconds = 0, 0.0
        while True:
            attempts += 1
            outcome = self._attempt(frame, level, conditions)
            if isinstance(outcome, Label):
                return outcome if attempts == 1 else _after(outcome, attempts, seconds)
            seconds += outcome.seconds
            if attempts >= self._allowed_attempts(outcome.kind):
                return dataclasses.replace(outcome, attempts=attempts, seconds=seconds)
            # What killed the process (a full machine, an administrator) may need time to pass.
            self._closed.wait(self.config.backoff_s * 2 ** (attempts - 1))
            self._refuse_if_closed()

    def _allowed_attempts(self, kind: FailureKind) -> int:
        match kind:
            case "crashed":
                return self.config.attempts
            case "timeout":
                return min(2, self.config.attempts)
            case _:
                return 1

    def _attempt(self, frame: Frame, level: LevelOfTheory, conditions: Conditions) -> Label | LabelFailure:
        process = self._slots.get()
        started = time.perf_counter()
        try:
            process = process or self._start()
            return process.run(frame, level, conditions, timeout_s=self.config.timeout_s)
        except (CrashedError, OutOfMemoryError, TimedOutError) as error:
            self._forget(process)
            process = None
            self._refuse_if_closed()
            return LabelFailure(
                frame_id=frame.id,
                level_key=level.key,
                kind=_kind(error),
                message=str(error),
                seconds=time.perf_counter() - started,
            )
        except BaseException:
            self._forget(process)
            process = None
            raise
        finally:
            self._slots.put(process)

    def _start(self) -> WorkerProcess:
        self._refuse_if_closed()
        process = WorkerProcess(memory_GB=self.config.memory_GB)
        with self._lock:
            self._processes.add(process)
        try:
            self._refuse_if_closed()  # closed while it started
        except LabelingStoppedError:
            process.kill()
            raise
        return process

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise LabelingStoppedError("the label workers are closed; open new ones")

    def _forget(self, process: WorkerProcess | None) -> None:
        with self._lock:
            if process is not None:
                self._processes.discard(process)


def _after(label: Label, attempts: int, seconds: float) -> Label:
    """A label whose attempts before the last failed, and took so long."""
    provenance = with_seconds(label.provenance, "failed_attempts", seconds)
    return dataclasses.replace(label, provenance={**provenance, "attempts": attempts})


def _kind(error: CrashedError | OutOfMemoryError | TimedOutError) -> FailureKind:
    match error:
        case CrashedError():
            return "crashed"
        case OutOfMemoryError():
            return "out_of_memory"
        case TimedOutError():
            return "timeout"


def available_cores() -> int:
    """The cores that this process may use, which a batch system may have made fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
