"""What a label costs besides its computation: through threads or Dask, with Prefect and the label store.

    python -m benchmarks.scale threads --labels 10000 --seconds 1 --at-once 32
    python -m benchmarks.scale dask --labels 10000 --seconds 1 --at-once 32

The labels are real ones of the Lennard-Jones labeler, in child processes that sleep for `--seconds` first. A
label stage is run with a Prefect server of its own in a folder of its own, then again as a resume would find
it, and `alnico status` is asked. With `--folder` what was labelled is kept: the same command goes on after an
interruption, and its figures are per label that it made itself. With `dask` two Dask workers with half the
threads each are started beside it, and the scheduler, in a process of its own. CPU seconds a label hardly
depend on what else the machine does; wall seconds do. `--at-once 32` needs about 3 GB for label processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from potential.data.frame import Frame

EXAMPLE = Path(__file__).parents[1] / "examples" / "lj_cluster.yaml"
# Python imports `sitecustomize` when it starts; in a label process it puts a sleep before each label.
SLEEPS = """
import dataclasses, os, sys, time
if "labeling.child" in sys.orig_argv:
    from labeling import lennard_jones
    compute, seconds = lennard_jones.compute, float(os.environ["ALNICO_LABEL_SECONDS"])
    def slowly(frame, level):
        time.sleep(seconds)
        label = compute(frame, level)
        return dataclasses.replace(label, provenance={**label.provenance, "seconds": seconds})
    lennard_jones.compute = slowly
"""


def measure(kind: str, labels: int, seconds: float, at_once: int, folder: Path) -> dict[str, Any]:
    """Run a label stage, and what comes after it."""
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["ALNICO_LABEL_SECONDS"] = str(seconds)
    (folder / "sitecustomize.py").write_text(SLEEPS)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    from flows.engine.prefect_settings import use_embedded_prefect

    use_embedded_prefect()
    from prefect import flow

    from flows.engine.prefect_api import prefect_api
    from flows.record.folder import CampaignFolder
    from flows.record.table import FIRST_LABELS
    from flows.steps.labels import label_frames
    from flows.views.status import print_status
    from labeling.store import LabelStore

    with ExitStack() as stack:
        engine: Any = {"dask": stack.enter_context(dask(at_once))} if kind == "dask" else kind
        content = yaml.safe_load(EXAMPLE.read_text()) | {"name": "scale", "folder": "campaigns"}
        content["structure"] = {"files": str(EXAMPLE.parent / "argon7.xyz")}
        content["labeling"] = {"workers": at_once, "engine": engine, "memory_GB": 0.5}
        (folder / "campaign.yaml").write_text(yaml.safe_dump(content))
        campaign = CampaignFolder.open(folder / "campaign.yaml")
        campaign.path.mkdir(parents=True, exist_ok=True)
        campaign.write_config()
        start = campaign.config.structure.frames()[0]
        draw = np.random.default_rng(0)
        frames = [moved(start, draw) for _ in range(labels)]
        store = LabelStore(campaign.label_store)
        new = labels - len(store)
        if not new:
            raise SystemExit(f"all {labels} labels are in {folder} already; name another --folder")

        @flow(name="scale", persist_result=False)
        def stage() -> int:
            into = campaign.first_labels
            return len(
                label_frames(campaign, FIRST_LABELS, into, frames, store=store, description="labels").labelled
            )

        wait = stack.enter_context(prefect_api())
        wait()
        server = child_named("flows.engine.prefect_server")
        found: dict[str, Any] = {"engine": kind, "labels": labels, "new": new, "at_once": at_once}
        sizes = {
            "prefect_MB": lambda: disk_MB(folder / "prefect"),
            "labels_MB": lambda: disk_MB(campaign.path, "labels.db*"),
        }
        before = {name: of() for name, of in sizes.items()}
        memory = [memory_MB()]
        cpu, cpu_server, began = time.process_time(), cpu_s(server), time.perf_counter()
        done = stage()
        wall = time.perf_counter() - began
        memory.append(memory_MB())
        assert done == labels, f"{done} of {labels} labelled"
        found |= {
            "wall_s": wall,
            "ideal_s": new * seconds / at_once,
            "wall_overhead_ms_per_label": 1000 * (wall - new * seconds / at_once) / new,
            "flow_cpu_ms_per_label": 1000 * (time.process_time() - cpu) / new,
            "server_cpu_ms_per_label": 1000 * (cpu_s(server) - cpu_server) / new,
            "flow_memory_MB": memory,
        }
        found |= {name: of() - before[name] for name, of in sizes.items()}
        began = time.perf_counter()
        stage()
        found["resume_of_the_stage_s"] = time.perf_counter() - began
        memory.append(memory_MB())
        (campaign.first_labels / "manifest.json").unlink()
        began = time.perf_counter()
        stage()
        found["resume_when_killed_at_the_end_s"] = time.perf_counter() - began
        began = time.perf_counter()
        with redirect_stdout(StringIO()):
            print_status(campaign.path)
        found["status_s"] = time.perf_counter() - began
    return found


def moved(start: Frame, draw: np.random.Generator) -> Frame:
    return start.moved(start.positions + draw.normal(0, 0.1, start.positions.shape))


@contextmanager
def dask(at_once: int) -> Iterator[str]:
    """A scheduler and two workers with half the threads each; gives the address."""
    module = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "scheduler.json"
        file = ["--scheduler-file", str(address)]
        quiet: Any = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        scheduler = [*module, "distributed.cli.dask_scheduler", *file, "--host", "127.0.0.1"]
        worker = [*module, "distributed.cli.dask_worker", *file, "--nthreads", str(at_once // 2)]
        started = [subprocess.Popen([*scheduler, "--port", "0", "--no-dashboard"], **quiet)]
        started += [
            subprocess.Popen([*worker, "--no-dashboard", "--memory-limit", "0"], **quiet) for _ in (0, 1)
        ]
        try:
            while not address.exists():
                time.sleep(0.2)
            from distributed import Client

            with Client(scheduler_file=str(address)) as client:
                client.wait_for_workers(2, timeout=180)
                where: str = client.scheduler.address
            yield where
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait()


def child_named(module: str) -> int:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (pid,) = (int(p) for p in children if module in Path(f"/proc/{p}/cmdline").read_text())
    return pid


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_MB() -> float:  # noqa: N802
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def disk_MB(folder: Path, pattern: str = "**/*.db*") -> float:  # noqa: N802
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Orchestration per label.")
    parser.add_argument("engine", choices=["threads", "local_cluster", "dask"])
    parser.add_argument("--labels", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument(
        "--folder", type=Path, help="kept, to go on after an interruption; else a temporary one"
    )
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="alnico-scale-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(given.engine, given.labels, given.seconds, given.at_once, folder.resolve())
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
    print(json.dumps(rounded, indent=2))


if __name__ == "__main__":
    main()
