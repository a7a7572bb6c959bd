"""`engine: {slurm: SITE}`: jobs of a SLURM cluster, each with a Dask worker; as many as there is work for.

The flow runs where `sbatch` is (a login or service node), with the Dask scheduler in its process. Jobs come
when labels wait, go when nothing is left, and are replaced when they end; TLS, with keys that are made anew
each time and lie in the campaign's folder, keeps other users of the cluster out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, final

from pydantic import AfterValidator, Field

from flows.engines.dask_client import OnDask, own_scheduler, require
from flows.engines.engine import JOB_KINDS, Engine, JobKind, Running
from flows.engines.site import Line, Program, Resources, Site, Word, read_site
from flows.errors import ConfigError
from labeling.workers import LabelingConfig

LOGS = "jobs"
SIGN = re.compile(r"[^\w/.+@:=,-]")
"""What is no letter, and might be something else to a shell or to sbatch."""


def _no_zero(walltime: str) -> str:
    if not walltime.strip("0:-"):
        raise ValueError(f"{walltime} is no time, and to SLURM no limit; write at least 00:01:00")
    return walltime


class SlurmResources(Resources):
    """What one job asks SLURM for."""

    queue: Annotated[Word | None, Field(description="partition; null: the cluster's default")] = None
    walltime: Annotated[
        str,
        Field(
            pattern=r"^(\d{1,3}-)?\d{1,3}:[0-5]\d:[0-5]\d$",
            description="time limit of a job, [days-]hours:minutes:seconds; longer than the longest label. "
            "A training that meets it goes on in another job",
        ),
        AfterValidator(_no_zero),
    ] = "01:00:00"
    directives: Annotated[
        tuple[Line, ...], Field(description="further #SBATCH lines, such as --constraint=avx512")
    ] = ()


class SlurmSite(Site[SlurmResources]):
    """How a SLURM cluster takes jobs."""

    account: Annotated[Word | None, Field(description="account that pays")] = None
    interface: Annotated[
        Word | None,
        Field(description="network interface by which jobs reach the flow, e.g. ib0; null: what Dask finds"),
    ] = None
    python: Annotated[
        Program | None,
        Field(
            description="Python of the jobs, e.g. ~/alnico/.venv/bin/python, in words without quotes and "
            "signs of the shell; null: the flow's, on a shared file system"
        ),
    ] = None
    prologue: Annotated[
        tuple[Line, ...],
        Field(description="shell lines before the worker starts, e.g. module load, source .../activate"),
    ] = ()


@final
class Slurm(Engine):
    """Jobs as a site file says."""

    slurm: Annotated[Path, Field(description="site file: account, queues, prologue, resources per stage")]

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
        site = self._site()
        site.check_memory(labeling.memory_GB, self.slurm)
        with self._cluster(site, site.label, folder) as running:
            yield running

    def takes(self, kind: JobKind) -> bool:
        return self._site().of(kind) is not None

    @contextmanager
    def open_job(self, kind: JobKind, folder: Path) -> Iterator[Running | None]:
        site = self._site()
        resources = site.of(kind)
        if resources is None:
            yield None
            return
        with self._cluster(site, resources.model_copy(update={"jobs": 1}), folder) as running:
            yield running

    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        require("distributed", "dask_jobqueue")
        from dask_jobqueue.slurm import SLURMJob

        site = self._site()
        site.check_memory(labeling.memory_GB, self.slurm)

        def script(resources: SlurmResources) -> str:
            options = _options(site, resources, folder / LOGS)
            return str(SLURMJob(scheduler="tls://FLOW:PORT", name="NAME", **options).job_script())

        scripts = [f"# labels: up to {site.label.jobs} jobs by sbatch\n{script(site.label)}"]
        for kind in JOB_KINDS:
            if resources := site.of(kind):
                scripts.append(f"# each {kind}: a job by sbatch\n{script(resources)}")
        return "\n".join(scripts)

    def _site(self) -> SlurmSite:
        return read_site(self.slurm, SlurmSite)

    @contextmanager
    def _cluster(self, site: SlurmSite, resources: SlurmResources, folder: Path) -> Iterator[Running]:
        require("distributed", "dask_jobqueue")
        if shutil.which("sbatch") is None:
            raise ConfigError(
                "labeling.engine",
                ["there is no `sbatch` here; start the campaign on a node from which jobs are submitted"],
            )
        import dask
        from dask_jobqueue.slurm import SLURMCluster
        from distributed import Client, Security

        logs = folder / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        # a label's duration is not known: as many jobs as labels wait, at once
        eager = dask.config.set({"distributed.scheduler.unknown-task-duration": "1h"})
        with (
            own_scheduler(),
            eager,
            SLURMCluster(
                security=Security.temporary(),
                protocol="tls://",
                shared_temp_directory=str(logs),
                scheduler_options={"dashboard_address": "127.0.0.1:0"},
                **_options(site, resources, logs),
            ) as cluster,
            Client(cluster) as client,
        ):
            cluster.adapt(minimum_jobs=0, maximum_jobs=resources.jobs, interval="1s", target_duration="1s")
            yield OnDask(client, resources.jobs * resources.cores)


def _options(site: SlurmSite, resources: SlurmResources, logs: Path) -> dict[str, Any]:
    """What dask-jobqueue wants for jobs with one worker process, a thread a core.

    Raises:
        ConfigError: for a folder whose name a shell would not take as it is.
    """
    if wrong := SIGN.search(str(logs)):
        problem = f"{str(logs.parent)!r} has {wrong[0]!r}, which job scripts do not take; rename the folder"
        raise ConfigError("the campaign's folder", [problem])
    gpus = [f"--gres=gpu:{resources.gpus}"] if resources.gpus else []
    return {
        "cores": resources.cores,
        "processes": 1,
        "memory": f"{resources.memory_GB:g}GB",
        "queue": resources.queue,
        "account": site.account,
        "walltime": resources.walltime,
        "interface": site.interface,
        "python": site.python,
        "job_name": "alnico",
        "job_script_prologue": list(site.prologue),
        "job_extra_directives": [*gpus, *resources.directives],
        "worker_extra_args": ["--no-dashboard"],
        "local_directory": "${TMPDIR:-/tmp}",
        "log_directory": str(logs),
    }
