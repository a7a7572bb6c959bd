"""nequip 0.19, timed from another process: `python peer.py` in an environment that has nequip.

Reads one JSON request a line: {"system", "l_max", "features", "task"} prepares a case and answers
{"ready": edges}; {"run": true} runs the prepared case once and answers {"seconds": t}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from systems import SYSTEMS

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
    edges = int(data["edge_index"].shape[1])
    training = request["task"] == "train"
    model = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        r_max=R_MAX,
        type_names=TYPES,
        num_layers=4,
        l_max=request["l_max"],
        num_features=request["features"],
        parity=True,
        radial_mlp_depth=1,
        radial_mlp_width=128,
        avg_num_neighbors=16.0,
        per_type_energy_scales=dict.fromkeys(TYPES, 1.0),
        per_type_energy_shifts=dict.fromkeys(TYPES, 0.0),
        compile_mode=request.get("compile_mode", "eager"),
    )
    if not training:
        model.eval()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        return lambda: model(dict(data)), edges
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    n_atoms = data["pos"].shape[0]
    energy = torch.randn(len(frames), 1, dtype=torch.float64, generator=generator)
    forces = 0.1 * torch.randn(n_atoms, 3, dtype=torch.float64, generator=generator)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        out = model(dict(data))
        per_atom = (out["total_energy"] - energy) / (n_atoms / len(frames))
        loss = per_atom.pow(2).mean() + (out["forces"] - forces).pow(2).mean()
        loss.backward()
        optimizer.step()

    return step, edges


def main() -> None:
    set_global_state()
    run: Callable[[], None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            assert run is not None
            start = time.perf_counter()
            run()
            answer: dict[str, float] = {"seconds": time.perf_counter() - start}
        else:
            run, edges = prepare(request)
            run()
            answer = {"ready": edges}
        print("PEER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
