"""`engine: {dask: ADDRESS}`: a Dask cluster that is there already, and stays when the campaign ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, final

from pydantic import Field

from flows.engines.dask_client import OnDask, require
from flows.engines.engine import Engine, Running
from flows.errors import ConfigError
from labeling.workers import LabelingConfig

PATIENCE_S = 20.0


@final
class DaskScheduler(Engine):
    """A scheduler by its address; as many labels at once as its workers have threads.

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

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
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
            return f"dask: {running.at_once} threads of the workers of {self.dask}, a label each"
