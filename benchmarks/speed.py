"""Speed and memory of the model: `python -m benchmarks.speed [--json FILE] [--peer PYTHON [--compiled]]`.

Energies with forces, and training steps: of one member in plain torch (`plain`), with the fused
convolution of the radial network (`fused`), compiled with radial splines, the default (`ours`); and of
a committee of four of these. `--peer` names the python of an environment with nequip 0.19, which is
then timed on the same systems with the same architecture (4 layers, parity, r_max 5, 8 Bessel
functions, radial network 128), its runs interleaved with ours; `--compiled` adds its compiled form,
which takes minutes to make. Times are medians in milliseconds; `roof` is the arithmetic of `ours` over
its time, as a fraction of the rate of large matrix products.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.clock import interleave, timed
from benchmarks.roofline import matrix_rate, operations
from benchmarks.systems import SYSTEMS
from potential.backends.backend import Backend
from potential.backends.choose import choose_backend
from potential.backends.derivatives import energy_and_forces
from potential.backends.reference import Reference
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.batch import Structures
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.nequip.neighbors import neighbor_list
from potential.training.batches import Loader
from potential.training.gradient import losses_and_gradient
from potential.training.training_config import TrainingConfig

CASES: list[dict[str, Any]] = [
    {"system": system, "task": task, "l_max": l_max, "features": features}
    for l_max, features in [(2, 32), (1, 64), (0, 64)]
    for system, task in [
        ("ethanol", "energy and forces"),
        ("5 x 21 atoms", "energy and forces"),
        ("water 192", "energy and forces"),
        ("5 x 21 atoms", "train"),
    ]
]


def our_model(
    system: str,
    l_max: int,
    features: int,
    members: int = 1,
    radial: Literal["mlp", "spline"] = "spline",
    *,
    layers: int = 4,
    device: str = "cpu",
    model: Mapping[str, Any] | None = None,
) -> tuple[NequIP, Structures]:
    """A model with random weights, and the structures to run it on; `model` has other settings of it."""
    peers = {
        "num_layers": layers,
        "l_max": l_max,
        "parity": True,
        "num_features": features,
        "radial_mlp_width": 128,
        "radial": radial,
        "committee_size": members,
    }
    config = ModelConfig(**{**peers, **(model or {})})
    network = NequIP(config, [1, 6, 8], avg_num_neighbors=16.0).to(device)
    return network, Structures.of([Frame.from_atoms(atoms) for atoms in SYSTEMS[system]()], device=device)


def our_case(
    case: dict[str, Any],
    *,
    members: int = 1,
    run_by: Callable[[NequIP], Backend] = choose_backend,
    radial: Literal["mlp", "spline"] = "spline",
    fixed_batch: bool = False,
) -> Callable[[], object]:
    """A function that runs the case once with our model, on the backend that `run_by` makes.

    Args:
        fixed_batch: a training step without the cutting of its batch, as a CUDA graph can record it.
    """
    layers, device = case.get("layers", 4), case.get("device", "cpu")
    model, structures = our_model(
        case["system"],
        case["l_max"],
        case["features"],
        members,
        radial,
        layers=layers,
        device=device,
        model=case.get("model"),
    )
    if case["task"] == "energy and forces":
        model.requires_grad_(False)
        edges, backend = neighbor_list(structures, model.config.r_max), run_by(model)
        species = model.species_of(structures.numbers)
        return lambda: energy_and_forces(backend, structures, edges, species=species)

    rng = np.random.default_rng(0)
    frames = [Frame.from_atoms(atoms) for atoms in SYSTEMS[case["system"]]()]
    dataset = Dataset.of(
        LabelledFrame(
            frame=frame,
            label=Label(
                frame_id=frame.id, level_key="x", energy=0.0, forces=0.1 * rng.normal(size=(len(frame), 3))
            ),
        )
        for frame in frames
    )
    loader, backend = Loader(dataset, model), run_by(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=device == "cuda")
    weights, training = torch.ones(members, len(frames), device=device), TrainingConfig()
    fixed = loader.batch(range(len(frames)))

    def step() -> None:
        batch = fixed if fixed_batch else loader.batch(range(len(frames)))
        optimizer.zero_grad(set_to_none=True)
        losses_and_gradient(backend, batch, weights, training)
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
                answer: dict[str, Any] = json.loads(line.removeprefix("PEER "))
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer
        raise RuntimeError(f"the peer's process ended with {self.process.wait()}")

    def case(self, case: dict[str, Any], *, form: str) -> tuple[Callable[[], float], float]:
        """Prepare a case: a function that runs it once and returns its seconds, and its peak in MB."""
        ready = self.ask({**case, "form": form})
        return lambda: float(self.ask({"run": form})["seconds"]), float(ready["peak_MB"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def share_of_the_machine(case: dict[str, Any], seconds: float) -> float:
    """Arithmetic of the compiled form over its time, as a fraction of the rate of matrix products."""
    model, structures = our_model(case["system"], case["l_max"], case["features"])
    edges = len(neighbor_list(structures, model.config.r_max).sender)
    atoms = len(structures.numbers)
    work = operations(model, atoms, edges, training=case["task"] == "train")
    return work / seconds / matrix_rate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--peer", help="python of an environment with nequip 0.19")
    parser.add_argument("--compiled", action="store_true", help="also time the peer's compiled form")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=6.0, help="time spent on each case")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peer = Peer(arguments.peer, arguments.threads) if arguments.peer else None

    rows = []
    columns = ["plain", "fused", "ours", "4 members", "roof"]
    columns += ["nequip", "ratio", "ratio 4"] if peer else []
    columns += ["compiled", "ratio", "ratio 4"] if peer and arguments.compiled else []
    print(f"{'case (times in ms)':48s}" + "".join(f"{c:>10s}" for c in columns), flush=True)
    for case in CASES:
        name = "{task}, {system}, l_max {l_max}, {features} features".format(**case)
        if arguments.only not in name:
            continue
        runs = {
            "plain": timed(our_case(case, run_by=Reference, radial="mlp")),
            "fused": timed(our_case(case, radial="mlp")),
            "ours": timed(our_case(case)),
            "committee": timed(our_case(case, members=4)),
        }
        if peer is not None:
            runs["nequip"], _ = peer.case(case, form="eager")
            if arguments.compiled:
                runs["nequip compiled"], _ = peer.case(case, form="compiled")
        times = interleave(runs, arguments.seconds)
        row = {"case": name, "threads": arguments.threads, "ms": {k: 1e3 * v for k, v in times.items()}}
        row["roof"] = share_of_the_machine(case, times["ours"])
        cells = [f"{1e3 * times[k]:10.2f}" for k in ("plain", "fused", "ours", "committee")]
        cells.append(f"{row['roof']:10.0%}")
        for form in ("nequip", "nequip compiled"):
            if form in times:
                ratios = [times[form] / times[k] for k in ("ours", "committee")]
                row[f"{form} over ours, over committee"] = ratios
                cells += [f"{1e3 * times[form]:10.1f}", *(f"{ratio:10.1f}" for ratio in ratios)]
        rows.append(row)
        print(f"{name:48s}" + "".join(cells), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
