"""A step of the loop: a Prefect task that a resumed run may call again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from flows.interrupts import raise_if_interrupted

P = ParamSpec("P")
R = TypeVar("R")


def step(name: str, run_name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have each call of a function be a Prefect task's: see `step_task`.

    One that Ctrl-C or a signal stops ends in Prefect as cancelled, not as crashed, and raises
    KeyboardInterrupt.
    """

    def made(work: Callable[P, R]) -> Callable[P, R]:
        @step_task(name, run_name)
        @wraps(work)
        def or_cancelled(*args: P.args, **kwargs: P.kwargs) -> R | State:
            try:
                return work(*args, **kwargs)
            except KeyboardInterrupt:  # the only way to say so to Prefect is a state
                return Cancelled(name="Stopped")

        @wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            result = or_cancelled(*args, **kwargs)
            if isinstance(result, State):
                raise KeyboardInterrupt
            return result

        return call

    return made


def step_task(name: str, run_name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a Prefect task, to be submitted: named, never cached, its result never kept by Prefect.

    What a step made is in the campaign's folder or in the label store, where a step that is called again
    finds it.

    Args:
        name: names the task. It has no tags, for each of which Prefect would ask the server for a slot.
        run_name: names its runs; arguments of the function stand in braces.
    """

    def made(work: Callable[P, R]) -> Task[P, R]:
        @wraps(work)
        def unless_interrupted(*args: P.args, **kwargs: P.kwargs) -> R:
            raise_if_interrupted()
            return work(*args, **kwargs)

        as_task = task(name=name, task_run_name=run_name, cache_policy=NO_CACHE, persist_result=False)
        return as_task(unless_interrupted)

    return made
