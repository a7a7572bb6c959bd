"""What the engines on Dask share: calls through a client, and deaths of workers that are counted.

Dask runs a function again when its worker dies. A frame that kills its worker must not kill all of them, so
our own schedulers are told to give up at the first death (`allowed-failures`), and the caller counts. A
worker that is stopped in good order (a job at its time limit, `scancel`) hands its functions back, and they
run elsewhere without being counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, final

from flows.engines.engine import EngineLostError, NodeDiedError, Running
from flows.errors import ConfigError
from labeling.workers import LabelingConfig

if TYPE_CHECKING:
    from distributed import Client, Future

R = TypeVar("R")
LOOKS_EVERY_S = 10.0
MOST = 4096

SCHEDULER = {
    "distributed.scheduler.allowed-failures": 0,
    # no function waits on a busy worker, whose death would count for it, too
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.work-stealing": False,
    # a thread holds the interpreter while it imports quantum chemistry; that is no death
    "distributed.scheduler.worker-ttl": "10 minutes",
    "distributed.admin.tick.limit": "1 minute",
}
"""Dask's settings for the schedulers that we start."""


def require(*packages: str) -> None:
    """Make sure that packages can be imported.

    Raises:
        ConfigError: if one cannot; it says what to install.
    """
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            "labeling.engine", [f"{', '.join(missing)} is not installed: pip install 'alnico[dask]'"]
        )


@contextmanager
def own_scheduler() -> Iterator[None]:
    """Within it, schedulers that are started have the settings above."""
    import dask

    with dask.config.set(SCHEDULER):
        yield


@final
class OnDask(Running):
    """Calls through a client of a Dask scheduler.

    Args:
        slots: how many calls shall run at once; None: as many as the workers have threads by now.
    """

    def __init__(self, client: Client, slots: int | None = None) -> None:
        self._client, self._slots = client, slots
        self._seen, self._seen_at = 1, float("-inf")
        self._under_way: set[Future[Any]] = set()
        self._cancelled = False

    @property
    def at_once(self) -> int:
        if self._slots is not None:
            return self._slots
        if time.monotonic() - self._seen_at > LOOKS_EVERY_S:
            self._seen = max(1, sum(self._client.nthreads().values()))
            self._seen_at = time.monotonic()
        return self._seen

    def on_node(self, labeling: LabelingConfig) -> LabelingConfig:
        return labeling.model_copy(update={"workers": MOST})  # the worker's threads are the limit

    def each(self, function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        yield from self._result(self._client.submit(_all, function, list(arguments), pure=False))

    def cancel(self) -> None:
        self._cancelled = True
        self._client.cancel(list(self._under_way), force=True)

    def _result(self, future: Future[Any]) -> list[Any]:
        from distributed import KilledWorker

        self._under_way.add(future)
        try:
            if self._cancelled:
                raise CancelledError
            results: list[Any] = future.result()
            return results
        except KilledWorker as error:
            raise NodeDiedError(error.allowed_failures + 1) from error
        except CancelledError as error:
            why = "it was broken off" if self._cancelled else "its scheduler is gone"
            raise EngineLostError(
                f"a label was not computed on Dask, for {why}. The same command goes on from here."
            ) from error
        finally:
            self._under_way.discard(future)
            future.release()


def threads_of_this_worker() -> int:
    """How many threads the worker has that runs the calling function."""
    from distributed import get_worker

    threads: int = get_worker().state.nthreads
    return threads


def _all(function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]) -> list[R]:
    """What a worker runs."""
    return [function(*given) for given in arguments]
