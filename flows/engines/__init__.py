"""Where labels, trainings and explorations are computed: the union of the engines, one file each.

In a campaign's YAML file an engine is a word, or a word with what it needs:

    engine: threads | local_cluster | {dask: tcp://host:8786} | {slurm: site.yaml} | {kubernetes: site.yaml}
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag

from flows.engines.engine import Engine, JobKind, NodeDiedError, Running
from flows.engines.kubernetes import Kubernetes
from flows.engines.local_cluster import LocalCluster
from flows.engines.scheduler import DaskScheduler
from flows.engines.slurm import Slurm
from flows.engines.threads import Threads


def _word(given: Any) -> str | None:
    """The word that tells which engine is meant."""
    match given:
        case Threads():
            return "threads"
        case LocalCluster():
            return "local_cluster"
        case BaseModel():
            return next(iter(type(given).model_fields), None)
        case dict():
            return str(next(iter(given), ""))
        case _:
            return str(given)


AnyEngine = Annotated[
    Annotated[Threads, Tag("threads")]
    | Annotated[LocalCluster, Tag("local_cluster")]
    | Annotated[DaskScheduler, Tag("dask")]
    | Annotated[Slurm, Tag("slurm")]
    | Annotated[Kubernetes, Tag("kubernetes")],
    Discriminator(_word),
]

__all__ = [
    "AnyEngine",
    "DaskScheduler",
    "Engine",
    "JobKind",
    "Kubernetes",
    "LocalCluster",
    "NodeDiedError",
    "Running",
    "Slurm",
    "Threads",
]
