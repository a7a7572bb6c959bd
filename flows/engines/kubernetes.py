"""`engine: {kubernetes: SITE}`: pods of a cluster, each with a Dask worker.

A Job of a fixed number of pods is applied by `kubectl` for as long as labels are computed, with a Secret that
holds keys made anew for it. The flow, with the Dask scheduler in its process, must be reachable from the
pods, which is easiest in a pod of its own with a headless service.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from pydantic import Field, model_validator

from flows.engines.dask_client import OnDask, own_scheduler, require
from flows.engines.engine import JOB_KINDS, Engine, JobKind, Running
from flows.engines.site import Resources, Site, Word, read_site
from flows.errors import CampaignError, ConfigError
from labeling.workers import LabelingConfig
from potential.data.config import Config

if TYPE_CHECKING:
    from distributed import Security

KEYS = "/run/alnico-tls"
# as Kubernetes takes them (kubernetes.io/docs/concepts/overview/working-with-objects)
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$", max_length=317)]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$", max_length=63)]


class KubernetesResources(Resources):
    """What one pod asks for."""

    walltime_s: Annotated[
        int, Field(ge=60, le=10_000_000, description="time limit of the job, after which its pods are ended")
    ] = 86_400
    node_selector: Annotated[
        dict[LabelName, LabelValue],
        Field(max_length=64, description="labels of the nodes that may run it, e.g. of those with GPUs"),
    ] = {}  # noqa: RUF012 (pydantic copies it)


class Volume(Config):
    """A PersistentVolumeClaim that many pods can write to."""

    claim: Annotated[DnsName, Field(description="its name")]
    path: Annotated[
        str,
        Field(pattern=r"^/[A-Za-z0-9._/-]*$", description="where pods mount it, and the flow sees it"),
    ]


class KubernetesSite(Site[KubernetesResources]):
    """How a Kubernetes cluster takes jobs."""

    image: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
            max_length=500,
            description="image with alnico and Dask, as the flow has them",
        ),
    ]
    namespace: Annotated[DnsName, Field(description="namespace of the jobs")] = "default"
    host: Annotated[Word, Field(description="name or address by which pods reach the flow")]
    port: Annotated[int, Field(ge=1024, le=65535, description="port of the flow's Dask scheduler")] = 8786
    volume: Annotated[
        Volume | None,
        Field(description="holds the campaigns' folders; for trainings and explorations"),
    ] = None

    @model_validator(mode="after")
    def _jobs_see_the_campaign(self) -> KubernetesSite:
        if self.volume is None and (self.training or self.exploration):
            raise ValueError(
                "a training or an exploration writes into the campaign's folder: name its `volume: {claim: "
                "NAME, path: /where/the/flow/sees/it}`, or leave `training` and `exploration` out"
            )
        return self


@final
class Kubernetes(Engine):
    """Pods as a site file says."""

    kubernetes: Annotated[Path, Field(description="site file: image, namespace, host, resources per stage")]

    @contextmanager
    def open(self, labeling: LabelingConfig, folder: Path) -> Iterator[Running]:
        site = self._site(labeling)
        with self._pods(site, site.label) as running:
            yield running

    def takes(self, kind: JobKind) -> bool:
        return read_site(self.kubernetes, KubernetesSite).of(kind) is not None

    @contextmanager
    def open_job(self, kind: JobKind, folder: Path) -> Iterator[Running | None]:
        site = read_site(self.kubernetes, KubernetesSite)
        resources = site.of(kind)
        if resources is None:
            yield None
            return
        with self._pods(site, resources.model_copy(update={"jobs": 1})) as running:
            yield running

    def dry_run(self, labeling: LabelingConfig, folder: Path) -> str:
        site = self._site(labeling)
        keys = {"ca.pem": "...", "cert.pem": "...", "key.pem": "..."}
        asked = [site.label, *filter(None, map(site.of, JOB_KINDS))]
        shown = [json.dumps(manifest(site, each, "alnico-NAME", keys), indent=2) for each in asked]
        return "\n".join(shown)

    def _site(self, labeling: LabelingConfig) -> KubernetesSite:
        site = read_site(self.kubernetes, KubernetesSite)
        site.check_memory(labeling.memory_GB, self.kubernetes)
        return site

    @contextmanager
    def _pods(self, site: KubernetesSite, resources: KubernetesResources) -> Iterator[Running]:
        require("distributed")
        if shutil.which("kubectl") is None:
            raise ConfigError("labeling.engine", ["there is no `kubectl` here to apply the jobs with"])
        from distributed import Client, Security, SpecCluster
        from distributed.scheduler import Scheduler

        security = Security.temporary()
        scheduler = {
            "cls": Scheduler,
            "options": {"protocol": "tls://", "port": site.port, "dashboard": False, "security": security},
        }
        name = f"alnico-{secrets.token_hex(4)}"
        made = json.dumps(manifest(site, resources, name, keys_of(security)))
        with (
            own_scheduler(),
            SpecCluster(workers={}, scheduler=scheduler, security=security) as cluster,
            Client(cluster) as client,
        ):
            _kubectl("apply", made)
            try:
                yield OnDask(client, resources.jobs * resources.cores)
            finally:
                _kubectl("delete", made)


def manifest(
    site: KubernetesSite, resources: KubernetesResources, name: str, keys: dict[str, str]
) -> dict[str, Any]:
    """The Secret with the keys and the Job whose pods are Dask workers, as one list."""
    labels = {"app.kubernetes.io/name": "alnico", "app.kubernetes.io/instance": name}
    about = {"name": name, "namespace": site.namespace, "labels": labels}
    memory = f"{round(resources.memory_GB * 1000)}M"
    limits: dict[str, str | int] = {"memory": memory}
    if resources.gpus:
        limits["nvidia.com/gpu"] = resources.gpus
    volumes: list[dict[str, Any]] = [
        {"name": "tls", "secret": {"secretName": name, "defaultMode": 0o440}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "tls", "mountPath": KEYS, "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},
    ]
    if site.volume is not None:
        volumes.append({"name": "campaigns", "persistentVolumeClaim": {"claimName": site.volume.claim}})
        mounts.append({"name": "campaigns", "mountPath": site.volume.path})
    container = {
        "name": "worker",
        "image": site.image,
        "command": worker_command(f"tls://{site.host}:{site.port}", resources.cores, KEYS),
        "resources": {"requests": {"cpu": str(resources.cores), "memory": memory}, "limits": limits},
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 1000},
        "nodeSelector": resources.node_selector,
        "containers": [container],
        "volumes": volumes,
    }
    job = {
        "parallelism": resources.jobs,
        "completions": resources.jobs,
        "backoffLimit": 3 * resources.jobs,  # a pod that died is replaced
        "activeDeadlineSeconds": resources.walltime_s,
        "ttlSecondsAfterFinished": 600,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "v1", "kind": "Secret", "metadata": about, "type": "Opaque", "stringData": keys},
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": job},
        ],
    }


def worker_command(scheduler: str, cores: int, keys: str) -> list[str]:
    """The command of a Dask worker with so many threads, which finds its keys in the folder `keys`."""
    return [
        *("python", "-m", "distributed.cli.dask_worker", scheduler, "--protocol", "tls"),
        *("--nthreads", str(cores), "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60"),
        *("--local-directory", "/tmp", "--tls-ca-file", f"{keys}/ca.pem"),
        *("--tls-cert", f"{keys}/cert.pem", "--tls-key", f"{keys}/key.pem"),
    ]


def keys_of(security: Security) -> dict[str, str]:
    """What a worker needs of temporary credentials, by file name."""
    role = security.get_tls_config_for_role("worker")
    return {"ca.pem": role["ca_file"], "cert.pem": role["cert"], "key.pem": role["key"]}


def _kubectl(verb: str, made: str) -> None:
    arguments = ["kubectl", verb, "-f", "-", *(["--ignore-not-found"] if verb == "delete" else [])]
    done = subprocess.run(arguments, input=made, capture_output=True, text=True)
    if done.returncode:
        raise CampaignError(f"`kubectl {verb}` failed with code {done.returncode}:\n{done.stderr.strip()}")
