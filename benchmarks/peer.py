"""nequip 0.19, timed from another process: `python peer.py` in an environment that has nequip.

Reads one JSON request a line: {"system", "l_max", "features", "task", "form", "device"} prepares a case and
answers {"ready": edges, "peak_MB": how much a run adds to the process, or on a CUDA device to what is
allocated there}; {"run": form} runs it once and answers {"seconds": t}. What fails answers {"error": why}.
The forms are "eager"; "compiled", AOTInductor for energies and forces (as `nequip-compile --target ase`, or
`batch`), torch.compile for training, where the first takes minutes and is kept in build/peer; and
"OpenEquivariance", its kernels in the eager form.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from clock import peak_megabytes, timed  # type: ignore[import-not-found] # run as a script: see the head
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.nn._tp_scatter_base import TensorProductScatter
from nequip.nn.compile import DictInputOutputWrapper
from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state
from systems import SYSTEMS  # type: ignore[import-not-found]

TYPES = ["H", "C", "O"]
R_MAX = 5.0


def prepare(request: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """A function that runs the case once, and its number of edges."""
    mapper = ChemicalSpeciesToAtomTypeMapper(
        model_type_names=TYPES, chemical_species_to_atom_type_map={t: t for t in TYPES}
    )
    neighbours = NeighborListTransform(r_max=R_MAX)
    frames = [neighbours(mapper(from_ase(a))) for a in SYSTEMS[request["system"]]()]
    data = frames[0] if len(frames) == 1 else AtomicDataDict.batched_from_list(frames)
    device = torch.device(request.get("device", "cpu"))
    data = AtomicDataDict.to_(data, device)
    edges = int(data["edge_index"].shape[1])
    training = request["task"] == "train"
    model = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        r_max=R_MAX,
        type_names=TYPES,
        num_layers=request.get("layers", 4),
        l_max=request["l_max"],
        num_features=request["features"],
        parity=True,
        radial_mlp_depth=1,
        radial_mlp_width=128,
        avg_num_neighbors=16.0,
        per_type_energy_scales=dict.fromkeys(TYPES, 1.0),
        per_type_energy_shifts=dict.fromkeys(TYPES, 0.0),
        compile_mode="compile" if training and request["form"] == "compiled" else "eager",
    )
    if request["form"] == "OpenEquivariance":
        model = TensorProductScatter.enable_OpenEquivariance(model)
    model.to(device)
    if not training:
        model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        if request["form"] == "compiled":
            return ahead_of_time(model, data, f"l{request['l_max']}f{request['features']}"), edges
        return lambda: model(dict(data)), edges
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    n_atoms = data["pos"].shape[0]
    energy = torch.randn(len(frames), 1, dtype=torch.float64, generator=generator).to(device)
    forces = 0.1 * torch.randn(n_atoms, 3, dtype=torch.float64, generator=generator).to(device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        out = model(dict(data))
        per_atom = (out["total_energy"] - energy) / (n_atoms / len(frames))
        loss = per_atom.pow(2).mean() + (out["forces"] - forces).pow(2).mean()
        loss.backward()
        optimizer.step()

    return step, edges


def ahead_of_time(model: torch.nn.Module, data: dict[str, Any], name: str) -> Callable[[], None]:
    """The model as `nequip-compile --mode aotinductor` makes it, called on `data`."""
    target = "batch" if "batch" in data else "ase"
    settings = COMPILE_TARGET_DICT[target]
    # The compiled form always computes a stress: molecules get a volume, which changes nothing else.
    empty = torch.linalg.det(data["cell"]) == 0
    data["cell"] = torch.where(empty.view(-1, 1, 1), 100 * torch.eye(3, dtype=torch.float64), data["cell"])
    file = Path("build/peer") / f"{name}_{target}.nequip.pt2"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        sizes = {"graph": "num_frames", "node": "num_nodes", "edge": "num_edges"}
        dims = {key: torch.export.dynamic_shapes.Dim(size, min=2, max=None) for key, size in sizes.items()}
        aot_export_model(
            model=model,
            device=torch.device("cpu"),
            input_fields=settings["input"],
            output_fields=settings["output"],
            data=dict(data),
            batch_map=settings["batch_map_settings"](dims),
            output_path=str(file),
            inductor_configs={},
            seed=1,
        )
    package = torch._inductor.aoti_load_package(str(file))
    compiled = DictInputOutputWrapper(package, settings["input"], settings["output"])
    return lambda: compiled(data)


def answer(request: dict[str, Any], prepared: dict[str, Callable[[], float]]) -> dict[str, float]:
    if "run" in request:
        return {"seconds": prepared[request["run"]]()}
    device = torch.device(request.get("device", "cpu"))
    prepared.pop(request["form"], None)
    run, edges = prepare(request)
    run()
    prepared[request["form"]] = timed(run, device)
    return {"ready": edges, "peak_MB": peak_megabytes(run, device)}


def main() -> None:
    set_global_state()
    prepared: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        try:
            said: dict[str, Any] = answer(json.loads(line), prepared)
        except Exception as error:  # noqa: BLE001 - a form that this environment cannot run is an answer
            said = {"error": f"{type(error).__name__}: {error}"}
        print("PEER " + json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
