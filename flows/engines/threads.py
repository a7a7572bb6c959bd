"""`engine: threads`: the flow's own process and its children; what most campaigns need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

from flows.engines.engine import Engine, Running
from flows.engines.word import Word
from labeling.task import close_workers, open_workers
from labeling.workers import LabelingConfig

R = TypeVar("R")


@final
class Threads(Word, Engine):
    """Each label in a child process of the flow's, as many at once as `labeling.workers` says."""

    word = "threads"

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
        with open_workers(labeling):
            yield InThisProcess(labeling.workers_here)

    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        return (
            f"threads: {labeling.workers_here} label processes on this machine, each with one core and up to "
            f"{labeling.memory_GB:g} GB"
        )


@final
class InThisProcess(Running):
    """Runs functions in the thread that asks."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once

    @property
    def at_once(self) -> int:
        return self._at_once

    def on_node(self, labeling: LabelingConfig) -> LabelingConfig:
        return labeling

    def each(self, function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        for given in arguments:
            yield function(*given)

    def cancel(self) -> None:
        close_workers()
