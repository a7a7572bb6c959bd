"""Does a potential know where it knows nothing? `python -m benchmarks.scans OUTPUT`

    python -m benchmarks.scans OUTPUT --molecules ethanol aspirin acetamide --aspirin aspirin_train_01.xyz

For each molecule: 60 frames of GFN2-xTB dynamics at 300 and 500 K, a committee of four trained on their
GFN2-xTB labels, and rigid scans of every kind of bond, from 0.7 to 1.8 times its length in steps of 3 %.
GFN2-xTB labels the scans, too, so that the true error is known. The table compares it with what was said:
by the members' calibrated disagreement alone (guard off), and with the distance to the training's
surroundings (on). What is there in OUTPUT is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from ase.neighborlist import natural_cutoffs, neighbor_list

from exploration.frame_sources import XtbMD
from exploration.initial import make_frames
from exploration.thermal import relaxed
from exploration.xtb import gfn2_xtb
from flows.settings.pretraining import GFN2_XTB
from labeling.ase_labeler import compute
from labeling.failure import NotConvergedError
from potential.calculator import Potential
from potential.calibration.calibration import Calibration
from potential.calibration.fit import fit_calibration
from potential.calibration.pairs import Pairs
from potential.data.dataset import Dataset, LabelledFrame
from potential.data.frame import Frame
from potential.data.plausibility import closest_pair
from potential.data.structure_files import molecule, read_dataset, read_frames, write_frames
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.known_environments import OUTSIDE, KnownEnvironments
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential, save_potential
from potential.properties.scan import Coordinate
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig

FRAMES, HELD_OUT, STEPS = 60, 30, 2500
FACTORS = np.arange(0.70, 1.81, 0.03)
CLOSEST = 0.65
"""Of the covalent radii: nearer atoms are refused by every command, and not scanned."""


def main() -> None:
    arguments = _arguments()
    tables = [
        scanned(name, arguments.output / name, arguments.aspirin, arguments.steps)
        for name in arguments.molecules
    ]
    print(summary(pd.concat(tables)).to_string(index=False, float_format="%.2f"))


def scanned(name: str, folder: Path, aspirin: Path | None, steps: int) -> pd.DataFrame:
    """One row a point of a scan and one a held-out frame (bond `held out`); forces eV/Angstrom."""
    file = folder / "scans.csv"
    if file.exists():
        return pd.read_csv(file)
    start = relaxed(_structure(name, aspirin), gfn2_xtb(_structure(name, aspirin)))
    held = _trained(start, folder, steps)
    potential = Potential.load(folder / "potential")
    rows = []
    for bond, factor, item in [*_points(start), *(("held out", 1.0, item) for item in held)]:
        atoms = item.frame.to_atoms()
        potential.calculate(atoms)
        found = potential.results
        error = np.linalg.norm(found["forces"] - item.label.forces, axis=1)
        assert potential.calibration is not None
        off = potential.calibration.expected_error(found["force_disagreement"], item.frame.symbols)
        rows.append(
            {
                "molecule": name,
                "bond": bond,
                "factor": factor,
                "error": error.max(),
                "disagreement": found["force_disagreement"].max(),
                "said_off": off.max(),
                "said_on": found["expected_error"].max(),
                "extrapolation": found["extrapolation"].max(),
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(file, index=False)
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """For each molecule: points with an error above 1 eV/Angstrom, and what was said of them."""
    rows = []
    for name, mine in table.groupby("molecule", sort=False):
        held, points = mine[mine["bond"] == "held out"], mine[mine["bond"] != "held out"]
        bad = points[points["error"] > 1.0]
        for guard in ("off", "on"):
            ratio = bad["error"] / bad[f"said_{guard}"]
            rows.append(
                {
                    "molecule": name,
                    "guard": guard,
                    "points": len(points),
                    "error > 1 eV/Å": len(bad),
                    "said < a third of it": int((ratio > 3).sum()),
                    "error / said": ratio.median(),
                    "outside": _outside(bad) if guard == "on" else "–",
                    "held-out frames outside": _outside(held) if guard == "on" else "–",
                }
            )
    return pd.DataFrame(rows)


def _outside(rows: pd.DataFrame) -> str:
    return f"{int((rows['extrapolation'] > OUTSIDE).sum())} of {len(rows)}"


def _structure(name: str, aspirin: Path | None) -> Frame:
    if name != "aspirin":
        return molecule(name)
    if aspirin is None:
        raise SystemExit("aspirin needs --aspirin: a file with its structure, such as rMD17's")
    return read_frames(aspirin, index="0")[0]


def _trained(start: Frame, folder: Path, steps: int) -> Sequence[LabelledFrame]:
    """Train a committee in `folder` unless it is there; returns the held-out labels."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "train.extxyz", folder / "held.extxyz"]
    if not all(file.exists() for file in files):
        frames = make_frames([start], FRAMES, XtbMD(), seed=1)
        held = make_frames([start], HELD_OUT, XtbMD(), seed=2, exclude=frames)
        for file, some in zip(files, (frames, held), strict=True):
            write_frames(file, [LabelledFrame(frame=f, label=compute(f, GFN2_XTB)) for f in some])
    learned, unseen = (read_dataset(file, GFN2_XTB.key) for file in files)
    if not (folder / "potential" / "config.json").exists():
        training = TrainingConfig(max_steps=steps, max_epochs=10**9)
        trained = train_committee(
            learned,
            Dataset.of([]),
            model=ModelConfig(),
            training=training,
            seed=0,
            folder=folder / "training",
        )
        save_potential(folder / "potential", trained.model, {"name": folder.name})
    model = Evaluator(load_potential(folder / "potential"))
    KnownEnvironments.of(learned.frames).save(folder / "potential")
    _calibration(model, unseen).save(folder / "potential")
    return unseen.items


def _calibration(model: Evaluator, unseen: Dataset) -> Calibration:
    found = fit_calibration(Pairs.of(evaluate(model, unseen).atoms))
    assert found is not None
    return found


def _points(start: Frame) -> Iterator[tuple[str, float, LabelledFrame]]:
    """Rigid scans of one bond of each kind: two elements and what is bonded to them."""
    atoms = start.to_atoms()
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.15))
    around = [sorted(atoms.numbers[second[first == k]].tolist()) for k in range(len(atoms))]
    kinds: dict[object, tuple[int, int]] = {}
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        kind = frozenset([(int(start.numbers[k]), tuple(around[k])) for k in (i, j)])
        if len(around[i]) >= len(around[j]):  # the smaller side moves
            kinds.setdefault(kind, (i, j))
    for i, j in kinds.values():
        for factor in FACTORS:
            moved = atoms.copy()
            Coordinate(atoms=(i, j)).set(moved, factor * atoms.get_distance(i, j))
            frame = start.moved(moved.positions)
            pair = closest_pair(frame)
            if pair is not None and pair.ratio < CLOSEST:
                continue
            try:
                yield f"{start.symbols[i]}{i}-{start.symbols[j]}{j}", factor, _labelled(frame)
            except NotConvergedError:
                continue


def _labelled(frame: Frame) -> LabelledFrame:
    return LabelledFrame(frame=frame, label=compute(frame, GFN2_XTB))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scans", description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for frames, potentials and tables")
    parser.add_argument("--molecules", nargs="+", default=["ethanol", "acetamide"])
    parser.add_argument("--aspirin", type=Path, help="file whose first structure is aspirin")
    parser.add_argument("--steps", type=int, default=STEPS, help="gradient steps")
    return parser.parse_args()


if __name__ == "__main__":
    main()
