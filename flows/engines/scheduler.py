"""`engine: {dask: ADDRESS}`: a Dask cluster that is there already, and stays when the campaign ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, final

from pydantic import Field

from flows.engines.dask_client import OnDask, require
from flows.engines.engine import Engine, JobKind, Running
from flows.errors import ConfigError
from labeling.workers import LabelingConfig

PATIENCE_S = 20.0


@final
class DaskScheduler(Engine):
    """A scheduler by its address; as many labels at once as its workers have threads.

    Trainings and explorations are computed there if `jobs` says so: the workers must see the campaign's
    folder, and a job takes all threads of its worker.

    Who can reach a Dask scheduler runs programs on its workers, and it sends us what we unpickle. Use TLS
    (https://distributed.dask.org/en/stable/tls.html), or a network of your own.
    """

    dask: Annotated[
        str,
        Field(
            pattern=r"^(tcp|tls|ws|wss|ucx)://[^\s/]+$",
            description="address of a Dask scheduler: tcp://host:8786, or tls:// with Dask's TLS settings",
        ),
    ]
    jobs: Annotated[
        tuple[JobKind, ...],
        Field(max_length=2, description="what else is computed there: training, exploration"),
    ] = ()

    def takes(self, kind: JobKind) -> bool:
        return kind in self.jobs

    @contextmanager
    def open_job(self, kind: JobKind, folder: Path) -> Iterator[Running | None]:
        with self._client() if self.takes(kind) else nullcontext() as running:
            yield running

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
        with self._client() as running:
            yield running

    @contextmanager
    def _client(self) -> Iterator[OnDask]:
        require("distributed")
        from distributed import Client

        try:
            client = Client(self.dask, timeout=PATIENCE_S)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                "labeling.engine",
                [
                    f"no Dask scheduler answers at {self.dask} ({type(error).__name__}); start it "
                    "(`dask scheduler`, `dask worker ADDRESS`), or write another engine"
                ],
            ) from error
        with client:
            yield OnDask(client)

    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        with self.open(labeling, folder) as running:
            jobs = f"; jobs: {', '.join(self.jobs)}" if self.jobs else ""
            return f"dask: {running.at_once} threads of the workers of {self.dask}, a label each{jobs}"
