"""What an engine is: where functions run for a flow, and what happens to them there.

An `Engine` is the frozen setting; `open` gives a `Running` one. What it runs are plain functions of values
that can be pickled, which write nothing but files in folders that they are given; the flow alone writes
labels into the store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar

from flows.errors import CampaignError
from labeling.workers import LabelingConfig
from potential.data.config import Config

R = TypeVar("R")
JobKind = Literal["training", "exploration"]
JOB_KINDS: tuple[JobKind, ...] = ("training", "exploration")
"""What can be one job on an engine, beside labels: pretraining and trainings, explorations and survival."""


class NodeDiedError(Exception):
    """The process that ran a function died with its machine, its job or by itself.

    Attributes:
        deaths: how many times it was tried.
    """

    def __init__(self, deaths: int) -> None:
        super().__init__(f"the process that ran it died, {deaths} times")
        self.deaths = deaths


class EngineLostError(CampaignError):
    """The engine has gone, with all that it was to run."""


class Running(ABC):
    """An engine that has been opened."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """How many calls it runs at once, at most."""

    @abstractmethod
    def on_node(self, labeling: LabelingConfig) -> LabelingConfig:
        """The settings for `labeling.task.label` where the calls run."""

    @abstractmethod
    def each(self, function: Callable[..., R], arguments: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """The results of `function(*a)` for each `a`, one after another, in order; blocks.

        Call it from as many threads as you like.

        Raises:
            NodeDiedError: if what ran it died; results that it had not given are lost.
            EngineLostError: if the engine has gone.
            Exception: whatever `function` raises.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Break off what runs and what waits: every `each` under way ends soon, with an exception."""


class Engine(Config, ABC):
    """The setting: which engine, and what it needs to be opened."""

    @abstractmethod
    def open(self, labeling: LabelingConfig, folder: Path) -> AbstractContextManager[Running]:
        """Have it run labels, with these settings, within the context; after it nothing of ours is left.

        Args:
            folder: the campaign's, in which an engine may write logs.

        Raises:
            ConfigError: if it cannot be opened here.
        """

    def takes(self, kind: JobKind) -> bool:
        """Whether such jobs are computed on the engine; if not, in the flow's process.

        Raises:
            ConfigError: if the engine's site is wrong.
        """
        return False

    def open_job(self, kind: JobKind, folder: Path) -> AbstractContextManager[Running | None]:
        """Have it run one job of this kind within the context; None where it takes none.

        Args:
            folder: the campaign's, which the job must see under the same path.

        Raises:
            ConfigError: if it cannot be opened here.
        """
        return nullcontext()

    @abstractmethod
    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        """What would be started, in words or as the script of the job.

        Raises:
            ConfigError: as `open`.
        """
