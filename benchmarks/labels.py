"""Labels per hour and core, and what a guess from a neighbouring frame saves.

    python -m benchmarks.labels --json FILE

Frames come from GFN2-xTB dynamics at 300 K. Each is labelled from superposed atomic densities, as a
campaign does it, and from the density of the frame before, `--spacing-fs` earlier, which is made
idempotent in the new overlap. Then the same frames are labelled by one worker and by two. Close other
programs; the workers are single-threaded, the dynamics is not measured. The whole takes
about a quarter of an hour on two cores, most of it for aspirin; `--only water` takes a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from pyscf.lib import num_threads
from scipy.linalg import sqrtm

from benchmarks.systems import aspirin_batch
from labeling.level import PySCFLevel
from labeling.pyscf_labeler import compute
from labeling.scf import converge, mean_field
from labeling.workers import LabelingConfig, LabelWorkers, available_cores
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.units import HARTREE_EV

SYSTEMS = {
    "water": lambda: molecule("H2O"),
    "ethanol": lambda: molecule("CH3CH2OH"),
    "aspirin": lambda: aspirin_batch()[0],
}
FRAMES = {"water": 24, "ethanol": 8, "aspirin": 2}  # even, so that two workers end together
TIMESTEP_FS = 0.5


def trajectory(atoms: Atoms, n_frames: int, spacing_fs: float) -> list[Frame]:
    """Frames of Langevin dynamics at 300 K with GFN2-xTB."""
    from tblite.ase import TBLite

    rng = np.random.default_rng(0)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    thermalize_momenta(atoms, temperature_K=600, rng=rng)
    dynamics = Langevin(
        atoms, TIMESTEP_FS * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False
    )
    dynamics.run(100)
    frames = []
    for _ in range(n_frames):
        dynamics.run(round(spacing_fs / TIMESTEP_FS))
        frames.append(Frame.of(atoms.numbers, atoms.positions))
    return frames


def reused(density: np.ndarray, overlap: np.ndarray, new_overlap: np.ndarray) -> np.ndarray:
    """S'^-1/2 S^1/2 D S^1/2 S'^-1/2: the occupations of D, in the basis of the next frame."""
    forward = np.linalg.inv(sqrtm(new_overlap).real) @ sqrtm(overlap).real
    return np.asarray(forward @ density @ forward.T)


def guesses(frames: Sequence[Frame], level: PySCFLevel) -> dict[str, float]:
    """Mean SCF cycles and seconds of a whole label with both guesses, and how far their energies differ."""
    scf, _, _ = converge(frames[0], level)
    fresh, cycles, saved, energies = [], [], [], []
    for frame in frames[1:]:
        label = compute(frame, level)
        start = time.perf_counter()
        density = reused(np.asarray(scf.make_rdm1()), scf.get_ovlp(), mean_field(frame, level).get_ovlp())
        scf, _, spent = converge(frame, level, density=density)
        saved.append(label.provenance["scf_seconds"] - (time.perf_counter() - start))
        fresh.append(label.provenance)
        cycles.append(sum(spent.values()))
        energies.append(abs(scf.e_tot * HARTREE_EV - label.energy))
    seconds = _mean(p["seconds"] for p in fresh)
    return {
        "scf_cycles": _mean(sum(p["scf_cycles"].values()) for p in fresh),
        "scf_cycles_reused": _mean(cycles),
        "gradient_share": _mean(p["gradient_seconds"] for p in fresh) / seconds,
        "labels_per_hour_per_core": 3600 / seconds,
        "labels_per_hour_per_core_reused": 3600 / (seconds - _mean(saved)),
        "largest_energy_difference_meV": 1000 * max(energies),
    }


def with_workers(frames: Sequence[Frame], level: PySCFLevel, workers: int) -> float:
    """Labels per hour, without the start of the processes."""
    with LabelWorkers(LabelingConfig(workers=workers)) as pool, ThreadPoolExecutor(workers) as threads:
        warm = [Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.7 + 0.01 * i]]) for i in range(2 * workers)]
        list(threads.map(lambda frame: pool.label(frame, level), warm))
        start = time.perf_counter()
        outcomes = list(threads.map(lambda frame: pool.label(frame, level), frames))
        seconds = time.perf_counter() - start
    assert all(isinstance(outcome, Label) for outcome in outcomes)
    return 3600 * len(frames) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--frames", type=int, help=f"frames of each molecule, 2 or more; default: {FRAMES}")
    parser.add_argument("--spacing-fs", type=float, default=20.0, help="time between them")
    parser.add_argument("--only", choices=SYSTEMS, help="one molecule")
    arguments = parser.parse_args()
    num_threads(1)
    level, rows = PySCFLevel(), []
    for name, make in SYSTEMS.items():
        if arguments.only not in (None, name):
            continue
        frames = trajectory(make(), arguments.frames or FRAMES[name], arguments.spacing_fs)
        row: dict[str, Any] = {"system": name, "level": level.name, "frames": len(frames)}
        row |= {"spacing_fs": arguments.spacing_fs, "cores": available_cores(), **guesses(frames, level)}
        row["labels_per_hour"] = {n: with_workers(frames, level, n) for n in (1, 2)}
        row["two_workers_over_one"] = row["labels_per_hour"][2] / row["labels_per_hour"][1]
        rows.append(row)
        print(
            f"{name:8s} {row['labels_per_hour_per_core']:7.0f} labels/h/core, "
            f"{row['labels_per_hour_per_core_reused']:7.0f} with the last density "
            f"({row['scf_cycles']:.1f} and {row['scf_cycles_reused']:.1f} cycles); "
            f"2 workers {row['two_workers_over_one']:.2f} times 1",
            flush=True,
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
