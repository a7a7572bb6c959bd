"""Speed of the model: `python -m benchmarks.speed [--json FILE] [--peer PYTHON]`.

Energies with forces, and training steps: of one member in plain torch, with the fused kernels, with
these and radial splines; and of a committee of four with both. `--peer` names the python of an
environment with nequip 0.19, which is then timed on the same systems with the same architecture (4
layers, parity, r_max 5, 8 Bessel functions, radial network 128), its runs interleaved with ours.
Times are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.systems import SYSTEMS
from potential.batch import Structures
from potential.config import ModelConfig, TrainingConfig
from potential.dataset import Dataset, Label, LabelledFrame
from potential.derivatives import energy_and_forces
from potential.frame import Frame
from potential.frozen import freeze
from potential.gradient import losses_and_gradient
from potential.loader import Loader
from potential.neighbors import neighbor_list
from potential.nequip import NequIP

CASES = [
    (system, task, l_max, features)
    for l_max, features in [(2, 32), (1, 64), (0, 64)]
    for system, task in [
        ("ethanol", "energy and forces"),
        ("5 x 21 atoms", "energy and forces"),
        ("water 192", "energy and forces"),
        ("5 x 21 atoms", "train"),
    ]
]


def our_case(
    system: str,
    task: str,
    l_max: int,
    features: int,
    members: int = 1,
    backend: str = "auto",
    radial: str = "mlp",
) -> Callable[[], None]:
    """A function that runs the case once with our model."""
    config = ModelConfig(
        num_layers=4,
        l_max=l_max,
        parity=True,
        num_features=features,
        radial_mlp_width=128,
        radial=radial,
        committee_size=members,
    )
    model = NequIP(config, [1, 6, 8], avg_num_neighbors=16.0)
    for block in model.blocks:
        block.convolution.backend = backend
    frames = [Frame.from_atoms(atoms) for atoms in SYSTEMS[system]()]
    if task == "energy and forces":
        model.requires_grad_(False)
        structures = Structures.of(frames)
        edges = neighbor_list(structures, config.r_max)
        frozen = freeze(model)
        return lambda: energy_and_forces(model, structures, edges, frozen=frozen)

    rng = np.random.default_rng(0)
    dataset = Dataset.of(
        LabelledFrame(
            frame=frame,
            label=Label(
                frame_id=frame.id, level_key="x", energy=0.0, forces=0.1 * rng.normal(size=(len(frame), 3))
            ),
        )
        for frame in frames
    )
    loader = Loader(dataset, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    weights, training = torch.ones(members, len(frames)), TrainingConfig()

    def step() -> None:
        batch = loader.batch(range(len(frames)))
        optimizer.zero_grad(set_to_none=True)
        losses_and_gradient(model, batch, weights, training)
        optimizer.step()

    return step


class Peer:
    """nequip in a process of its own."""

    def __init__(self, python: str, threads: int) -> None:
        script = Path(__file__).with_name("peer.py")
        self.process = subprocess.Popen(
            [python, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("PEER "):
                return json.loads(line.removeprefix("PEER "))
        raise RuntimeError(f"the peer's process ended with {self.process.wait()}")

    def run(self) -> float:
        return float(self.ask({"run": True})["seconds"])


def timed(function: Callable[[], None]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return run


def interleave(runs: dict[str, Callable[[], float]], budget_s: float) -> dict[str, float]:
    """Median seconds of each, run in turn until the budget is spent (at least five turns)."""
    for run in runs.values():
        run(), run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    while time.perf_counter() - start < budget_s or len(next(iter(times.values()))) < 5:
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--peer", help="python of an environment with nequip 0.19")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=6.0, help="time spent on each case")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peer = Peer(arguments.peer, arguments.threads) if arguments.peer else None

    rows = []
    columns = ["plain", "fused", "spline", "committee", "nequip", "ratio 1", "ratio 4"]
    print(f"{'case (times in ms)':56s}" + "".join(f"{c:>10s}" for c in columns), flush=True)
    for system, task, l_max, features in CASES:
        name = f"{task}, {system}, l_max {l_max}, {features} features"
        if arguments.only not in name:
            continue
        runs = {
            "plain": timed(our_case(system, task, l_max, features, backend="torch")),
            "fused": timed(our_case(system, task, l_max, features)),
            "spline": timed(our_case(system, task, l_max, features, radial="spline")),
            "committee": timed(our_case(system, task, l_max, features, members=4, radial="spline")),
        }
        if peer is not None:
            peer.ask({"system": system, "task": task, "l_max": l_max, "features": features})
            runs["nequip"] = peer.run
        ms = {key: 1e3 * value for key, value in interleave(runs, arguments.seconds).items()}
        row = {"case": name, "threads": arguments.threads, "ms": ms}
        row["committee_over_one"] = ms["committee"] / ms["spline"]
        if peer is not None:
            row["nequip_over_one"] = ms["nequip"] / ms["spline"]
            row["nequip_over_committee"] = ms["nequip"] / ms["committee"]
        rows.append(row)
        ratios = [row[key] for key in ("nequip_over_one", "nequip_over_committee") if key in row]
        print(f"{name:56s}" + "".join(f"{x:10.1f}" for x in [*ms.values(), *ratios]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
