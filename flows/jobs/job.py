"""One job of a stage: computed here, or where the engine has the cores or the GPU for it.

What a job computes is a value that can be pickled and called. It writes its results into the stage's folder,
which flow and node must both see, and says how far it is. On a node two small files lie beside the results: a
ticket, without which a job stops, so that one whose flow has gone does not disturb the next; and a count.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from flows.engine.openmp import let_waiting_threads_sleep
from flows.engines import Engine, JobKind, NodeDiedError, Running
from flows.engines.dask_client import threads_of_this_worker
from flows.errors import CampaignError
from flows.views.console import say, warn
from potential.data.atomic_write import write_atomically

TICKET, COUNT = "ticket", "count"
ATTEMPTS = 3
LOOKS_EVERY_S = 1.0
PATIENCE_S = 120.0
"""How long files of the node may take to be seen here, by a network file system."""

Done = Callable[[int], None]
Work = Callable[[Path, Done], None]
"""What a job computes: it writes into a folder, and tells `Done` how much is done."""


class NoTicketError(Exception):
    """The flow that asked for this job has gone, or has asked another one."""


def compute(work: Work, into: Path, done: Done, *, engine: Engine, kind: JobKind, campaign: Path) -> None:
    """Have `work` fill the folder `into`, as a job of the engine if it takes such jobs, else here.

    Args:
        campaign: its folder, for the logs of jobs.

    Raises:
        CampaignError: if the job's process died `ATTEMPTS` times, or the engine has gone.
        ConfigError: if the engine cannot be opened.
        Exception: whatever `work` raises.
    """
    with engine.open_job(kind, campaign) as running:
        if running is None:
            work(into, done)
            return
        say(f"    {kind} as a job on the engine")
        deaths = 0
        while True:
            try:
                _on_a_node(running, work, into, done)
            except NodeDiedError as error:
                deaths += error.deaths
                if deaths >= ATTEMPTS:
                    raise CampaignError(
                        f"the process of the {kind} job died {deaths} times; its log is with the engine's. "
                        "More memory for the job may help; the same command goes on from here."
                    ) from error
                warn(f"the process of the {kind} job died; it is started again")
            else:
                return


def _on_a_node(running: Running, work: Work, into: Path, done: Done) -> None:
    ticket = secrets.token_hex(8)
    (into / COUNT).unlink(missing_ok=True)
    write_atomically(into / TICKET, ticket)
    try:
        with ThreadPoolExecutor(1) as thread:
            job = thread.submit(lambda: next(running.each(run, [(work, into, ticket)])))
            try:
                while not wait([job], LOOKS_EVERY_S).done:
                    done(_count(into))  # here an interrupt is heard
            except BaseException:
                (into / TICKET).unlink(missing_ok=True)
                running.cancel()  # else the thread would wait for the job
                raise
        _wait_for(into, job.result())
    finally:
        for name in (TICKET, COUNT):
            (into / name).unlink(missing_ok=True)


def run(work: Work, into: Path, ticket: str) -> dict[str, int]:
    """What the node does, with all threads that it has; gives the size of each file in the folder.

    Raises:
        NoTicketError: if the flow asked for no such job any more.
    """
    let_waiting_threads_sleep()
    import torch

    torch.set_num_threads(threads_of_this_worker())
    written = float("-inf")

    def done(count: int) -> None:
        nonlocal written
        if _read(into / TICKET) != ticket:
            raise NoTicketError(f"{into} has another job's ticket, or none")
        if time.monotonic() - written > LOOKS_EVERY_S:
            write_atomically(into / COUNT, str(count))
            written = time.monotonic()

    deadline = time.monotonic() + PATIENCE_S
    while _read(into / TICKET) != ticket and time.monotonic() < deadline:
        time.sleep(LOOKS_EVERY_S)
    done(0)
    work(into, done)
    return _sizes(into)


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (TICKET, COUNT)
    }


def _wait_for(folder: Path, written: dict[str, int]) -> None:
    """Until all that the node wrote is seen here.

    Raises:
        CampaignError: if it does not come.
    """
    deadline = time.monotonic() + PATIENCE_S
    while missing := written.items() - _sizes(folder).items():
        if time.monotonic() > deadline:
            raise CampaignError(
                f"the job wrote {min(missing)[0]}, which is not seen in {folder} here. The campaign's folder "
                "must lie on a file system that flow and jobs share."
            )
        time.sleep(LOOKS_EVERY_S)


def _count(into: Path) -> int:
    said = _read(into / COUNT)
    return int(said) if said.isdecimal() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
