"""One label as a pure task: a function of picklable values, for threads, processes and clusters.

`label` writes nothing and depends on nothing but its arguments. Where it runs, child processes compute:
the first call in a process starts them, later calls with the same settings find them in a table of this
module, and `close_workers` or the end of the process ends them. Whoever holds the store writes.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeAlias

from labeling.confirming import Expectation, confirmed
from labeling.failure import LabelFailure
from labeling.level import LevelOfTheory
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame

Task: TypeAlias = Callable[[Frame, LevelOfTheory, LabelingConfig], Label | LabelFailure]

_pools: dict[tuple[int, LabelingConfig], LabelWorkers] = {}
"""Workers by process id and settings. A forked process finds its parent's here and lets them be."""
_users = Counter[tuple[int, LabelingConfig]]()
"""How many are within `open_workers`."""
_lock = threading.Lock()


def label(
    frame: Frame,
    level: LevelOfTheory,
    config: LabelingConfig | None = None,
    expected: Expectation | None = None,
) -> Label | LabelFailure:
    """Label one frame in a child process of this one; blocks until done.

    Call it from as many threads as you like: this process computes no more than `config.workers` labels
    at once, the others wait.

    Args:
        expected: what a committee expects; an energy far from it is computed a second time.

    Raises:
        CannotLabelError: if no frame can be labelled here.
        LabelingStoppedError: if the workers are closed meanwhile, or were by `open_workers`.
        RuntimeError: if no child process can start.
    """
    key = _key(config or LabelingConfig())
    with _lock:
        workers = _pools.get(key)
        if workers is None:
            workers = _pools[key] = LabelWorkers(key[1])
    outcome = workers.label(frame, level)
    if isinstance(outcome, Label) and expected is not None:
        outcome = confirmed(frame, outcome, expected, level, workers)
    return outcome


def label_all(
    frames: Iterable[Frame],
    level: LevelOfTheory,
    config: LabelingConfig | None = None,
    *,
    executor: Executor | None = None,
    task: Task | None = None,
) -> Generator[tuple[Frame, Label | LabelFailure], None, None]:
    """Every frame with its outcome, as they come; closing the generator breaks the work off.

    Args:
        executor: where `task` runs; None: threads of this process, as many as there are workers.
        task: None: `label`. Another that calls it can keep what it gives, though the work is broken off.

    Raises:
        CannotLabelError, RuntimeError: as `label`.
    """
    config = config or LabelingConfig()
    if executor is not None:
        yield from _as_they_come(frames, level, config, executor, task or label)
        return
    threads = ThreadPoolExecutor(config.workers_here)
    try:
        with open_workers(config):
            yield from _as_they_come(frames, level, config, threads, task or label)
    finally:
        threads.shutdown()  # after the workers, which end what runs


@contextmanager
def open_workers(config: LabelingConfig) -> Iterator[None]:
    """Within it, `label` starts child processes when it needs them; after it they are gone.

    Labels under way then end in LabelingStoppedError. So do those that a thread of this process begins
    afterwards, until it is entered again: what is left in a queue when the work is broken off must not
    start new processes. One within another for the same settings leaves the closing to the outer one.

    Raises:
        CannotLabelError: for `backend: gpu` without gpu4pyscf.
    """
    key = _key(config)
    with _lock:
        if key not in _pools or _pools[key].is_closed:
            _pools[key] = LabelWorkers(key[1])
        workers = _pools[key]
        _users[key] += 1
    try:
        yield
    finally:
        with _lock:
            _users[key] -= 1
            last = not _users[key]
        if last:
            workers.close()


def close_workers() -> None:
    """End all child processes that `label` has started in this process.

    The next call starts new ones, but within `open_workers` it is refused.
    """
    with _lock:
        mine = [(key, workers) for key, workers in _pools.items() if key[0] == os.getpid()]
        for key, _ in mine:
            if not _users[key]:
                del _pools[key]
    for _, workers in mine:
        workers.close()


def _as_they_come(
    frames: Iterable[Frame], level: LevelOfTheory, config: LabelingConfig, executor: Executor, task: Task
) -> Iterator[tuple[Frame, Label | LabelFailure]]:
    futures = {executor.submit(task, frame, level, config): frame for frame in frames}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _key(config: LabelingConfig) -> tuple[int, LabelingConfig]:
    """The store is not the workers' business."""
    return os.getpid(), config.model_copy(update={"store": None, "workers": config.workers_here})


atexit.register(close_workers)
if hasattr(os, "register_at_fork"):  # no thread of a forked process would let go of the lock
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
