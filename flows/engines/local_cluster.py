"""`engine: local_cluster`: a Dask cluster on this machine, of worker processes that may die.

It is for trying on one machine what a real cluster will do; labels are no faster than by threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from flows.engines.dask_client import OnDask, own_scheduler, require
from flows.engines.engine import Engine, JobKind, Running
from flows.engines.word import Word
from labeling.workers import LabelingConfig, available_cores


@final
class LocalCluster(Word, Engine):
    """As many Dask workers as `labeling.workers` says, one label each; TLS keeps other users out.

    A training or an exploration has a worker of its own, with a thread for each core.
    """

    word = "local_cluster"

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
        with self._cluster(labeling.workers_here, 1) as running:
            yield running

    def takes(self, kind: JobKind) -> bool:
        return True

    @contextmanager
    def open_job(self, kind: JobKind, folder: Path) -> Iterator[Running | None]:
        with self._cluster(1, available_cores()) as running:
            yield running

    @contextmanager
    def _cluster(self, workers: int, threads: int) -> Iterator[Running]:
        require("distributed")
        from distributed import Client
        from distributed import LocalCluster as DaskCluster

        with (
            own_scheduler(),
            DaskCluster(
                n_workers=workers,
                threads_per_worker=threads,
                host="127.0.0.1",
                protocol="tls://",
                security=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,  # labels are computed in children of the workers, with limits of their own
            ) as cluster,
            Client(cluster) as client,
        ):
            yield OnDask(client, workers)

    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        require("distributed")
        return (
            f"local_cluster: {labeling.workers_here} Dask workers on this machine, each with one label of up "
            f"to {labeling.memory_GB:g} GB; a worker with {available_cores()} threads for each training and "
            "exploration"
        )
