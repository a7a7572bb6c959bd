"""Progress of a stage, on the terminal and as a progress artifact in Prefect."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.console import bar

SECONDS_BETWEEN_UPDATES = 2.0


def artifact_key(name: str) -> str:
    """As Prefect wants the keys of artifacts: lower case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@contextmanager
def progress(key: str, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Give a function to call with how many are done."""
    artifact = create_progress_artifact(0.0, key=artifact_key(key), description=description)
    assert isinstance(artifact, UUID)  # a coroutine only where an event loop runs
    updated = time.monotonic()
    with bar(total, description, unit) as shown:

        def done(count: int) -> None:
            nonlocal updated
            shown.update(count - shown.n)
            if time.monotonic() - updated > SECONDS_BETWEEN_UPDATES:
                update_progress_artifact(artifact, progress=100.0 * count / max(total, 1))
                updated = time.monotonic()

        yield done
    update_progress_artifact(artifact, progress=100.0)
