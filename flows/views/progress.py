"""Progress of a stage: a bar on a terminal, now and then a line elsewhere, an artifact in Prefect."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.interrupts import raise_if_interrupted
from flows.views.console import bar, say

SECONDS_BETWEEN_UPDATES = 2.0
SECONDS_BETWEEN_LINES = 30.0


def artifact_key(name: str) -> str:
    """As Prefect wants the keys of artifacts: lower case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def progress(
    key: str, description: str, total: int, unit: str, *, own_bar: bool = False
) -> Iterator[Callable[[int], None]]:
    """Give a function to call with how many are done; there an interrupt that was lost is heard.

    Args:
        own_bar: the stage shows a bar of its own on terminals.
    """
    artifact = create_progress_artifact(0.0, key=artifact_key(key), description=description)
    assert isinstance(artifact, UUID)  # a coroutine only where an event loop runs
    updated = said = time.monotonic()
    with bar(total, description, unit, hidden=own_bar) as shown:

        def done(count: int) -> None:
            nonlocal updated, said
            raise_if_interrupted()
            shown.update(count - shown.n)
            now = time.monotonic()
            if now - updated > SECONDS_BETWEEN_UPDATES:
                update_progress_artifact(artifact, progress=100.0 * count / max(total, 1))
                updated = now
            if now - said > SECONDS_BETWEEN_LINES and not sys.stderr.isatty():
                say(f"    {description}: {count} of {total} {unit}{'s' if unit.isalpha() else ''}")
                said = now

        yield done
    update_progress_artifact(artifact, progress=100.0)
