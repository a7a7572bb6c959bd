"""The GPU path in one command: `python -m benchmarks.gpu [--output FILE] [--only PART]`.

| part    | what                                                                                      |
|---------|-------------------------------------------------------------------------------------------|
| kernels | Triton against plain torch in float64: kernels and model, l_max 0 to 3, with both parities |
| train   | a training step of a committee of 4 on 5 x 21 atoms                                        |
| md      | dynamics of 64 replicas of ethanol and of 1,536 atoms of water, with a committee of 4      |

With times goes memory: `peak_MB` is what one step or force call adds to what is allocated, `held_MB` what
a way keeps between calls (a CUDA graph keeps its intermediate results). Everything runs by Triton, by
plain torch, and by Triton in CUDA graphs; beside it nequip, one model, where it is installed (or in the
environment of `--peer`), the runs in turn. `members` says whose time it is.

Every case has a process and a time limit of its own: what fails or takes too long is a row that says so.
With `--output` the tables are FILE's Markdown and JSON, written after each case, and a second run on the same
machine, commit and software does only what is missing. Nothing is downloaded; a full run is kept under eight
minutes. Without a CUDA device one line says so; `--cpu-smoke` tries the same code, in small, on the CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

PARTS = ("kernels", "train", "md")
LIMIT_S = {"kernels": 200.0, "train": 70.0, "md": 90.0}
PEERS_VERSIONS = """
from importlib import metadata
for name in ("nequip", "openequivariance", "torch"):
    try: print(name, metadata.version(name))
    except metadata.PackageNotFoundError: print(name, "is not installed")
"""
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A case of a part, for a process of its own."""

    part: str
    case: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join((self.part, *self.case))


def jobs(part: str, *, smoke: bool) -> list[Job]:
    from benchmarks.gpu_parts import SMOKE, Scale

    scale = SMOKE if smoke else Scale()
    cases: dict[str, list[tuple[str, ...]]] = {
        "kernels": [
            (str(l_max), parity, dtype)
            for l_max, parity, dtype in product(
                sorted(scale.degrees, reverse=True), ("both", "natural"), ("float64", "float32")
            )
        ],
        "train": [(scale.training,)],
        "md": [(system,) for system in scale.dynamics],
    }
    return [Job(part, case) for case in cases[part]]


def work(job: Job, *, smoke: bool, peer: str | None) -> Iterator[Row]:
    """The rows of a job, in this process."""
    import torch

    from benchmarks import gpu_parts
    from benchmarks.gpu_kernels import DTYPES, kernels

    scale = gpu_parts.SMOKE if smoke else gpu_parts.Scale()
    match job.part, job.case:
        case "kernels", (l_max, parity, dtype):
            device = torch.device(scale.device)
            yield from kernels(
                device, scale.features, scale.edges, int(l_max), parity == "both", DTYPES[dtype]
            )
        case "train", _:
            yield from gpu_parts.train(scale, peer)
        case "md", (system,):
            yield from gpu_parts.dynamics(scale, system, peer)


def outside(job: Job, *, smoke: bool, peer: str | None, limit_s: float) -> Iterator[Row]:
    """The rows of a job, from a process of its own; if it fails or runs too long, a row says so."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--one", job.part, *job.case]
    command += ["--cpu-smoke"] if smoke else []
    command += ["--peer", peer] if peer else []
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if smoke else {})
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        late = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ROW "):
                yield json.loads(line.removeprefix("ROW "))
        code, in_time = process.wait(), late.is_alive()
        late.cancel()
        if code != 0:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
            why = last if in_time else f"took more than {limit_s:.0f} s"
            yield {"case": str(job), "way": "", "failed": f"exit {code}: {why[:300]}"}


def machine(peer: str | None, *, smoke: bool) -> dict[str, str]:
    """What the figures are of."""
    import torch

    def answer(*command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError):
            return "unknown"
        return ", ".join(done.stdout.split("\n")).strip(", ")

    try:
        triton = metadata.version("triton")
    except metadata.PackageNotFoundError:
        triton = "is not installed"
    if smoke:
        device = {"device": "CPU, Triton interpreted: these figures say nothing"}
    else:
        card = torch.cuda.get_device_properties(0)
        driver = answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0")
        device = {"device": f"{card.name}, {card.total_memory / 2**30:.0f} GiB", "driver": driver}
    return {
        **device,
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}",
        "triton": triton,
        "python": sys.version.split()[0],
        "peer": answer(peer, "-c", PEERS_VERSIONS) if peer else "nequip is not installed",
        "commit": answer("git", "describe", "--always", "--dirty"),
    }


def markdown(report: dict[str, Any]) -> str:
    lines = ["# On a GPU", "", *(f"- {key}: {value}" for key, value in report["machine"].items())]
    lines += [f"- command: `{report['command']}`", f"- date: {report['date']}"]
    for part in PARTS:
        rows = [row for job in report["jobs"] if job["part"] == part for row in job["rows"]]
        if rows:
            columns = list(dict.fromkeys(key for row in rows for key in row))
            lines += ["", f"## {part}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
            lines += ["| " + " | ".join(_cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "NO"
        case float():
            return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
        case _:
            return str(value).replace("|", "/")


def kept(output: Path | None, report: dict[str, Any], only: str | None) -> list[dict[str, Any]]:
    """The jobs in the file that need not be done again: finished on the same machine, and not asked for."""
    if output is None or not output.exists():
        return []
    old = json.loads(output.read_text())
    if old["machine"] != report["machine"]:
        return []
    return [job for job in old["jobs"] if job["part"] != only and job["finished"]]


def run(parts: list[str], *, smoke: bool, peer: str | None, output: Path | None, only: str | None) -> None:
    report: dict[str, Any] = {
        "machine": machine(peer, smoke=smoke),
        "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    report["jobs"] = kept(output, report, only)
    done = {(job["part"], tuple(job["case"])) for job in report["jobs"]}
    lock = threading.Lock()

    def do(job: Job) -> None:
        rows, start = [], time.perf_counter()
        for row in outside(job, smoke=smoke, peer=peer, limit_s=LIMIT_S[job.part]):
            rows.append(row)
            facts = (f"{k} {_cell(v)}" for k, v in row.items() if k not in ("case", "way"))
            print(f"{job.part}: {row['case']}, {row['way']}: " + ", ".join(facts), flush=True)
        finished = bool(rows) and not any(row["way"] == "" for row in rows)
        entry = {"part": job.part, "case": job.case, "seconds": time.perf_counter() - start}
        with lock:
            report["jobs"].append({**entry, "finished": finished, "rows": rows})
            if output is not None:
                output.write_text(json.dumps(report, indent=2) + "\n")
                output.with_suffix(".md").write_text(markdown(report))

    for part in parts:
        todo = [job for job in jobs(part, smoke=smoke) if (job.part, job.case) not in done]
        # Kernels are compiled on the host and compared, not timed: all cores at once.
        workers = min(16, os.cpu_count() or 1) if part == "kernels" else 1
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(do, todo))
    if output is None:
        print("\n" + markdown(report) + "\n```json\n" + json.dumps(report) + "\n```")


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, help="FILE.json, and FILE.md beside it; default: printed")
    parser.add_argument("--only", choices=PARTS, help="one part, whether it is in the file or not")
    parser.add_argument("--peer", help="python of an environment with nequip 0.19; default: this one")
    parser.add_argument("--cpu-smoke", action="store_true", help="small, on the CPU, to try the code")
    parser.add_argument("--one", nargs="+", metavar="PART CASE", help="one case, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        part, *case = arguments.one
        for row in work(Job(part, tuple(case)), smoke=arguments.cpu_smoke, peer=arguments.peer):
            say("ROW " + json.dumps(row))
        return

    import torch

    if not arguments.cpu_smoke and not torch.cuda.is_available():
        say("no CUDA device here: nothing was measured (--cpu-smoke tries the code on the CPU)")
        return
    peer = arguments.peer or (sys.executable if importlib.util.find_spec("nequip") else None)
    output = arguments.output.with_suffix(".json") if arguments.output else None
    parts = [arguments.only] if arguments.only else list(PARTS)
    run(parts, smoke=arguments.cpu_smoke, peer=peer, output=output, only=arguments.only)


if __name__ == "__main__":
    main()
