"""Data efficiency on rMD17: `python -m benchmarks.rmd17 FOLDER [--molecule ethanol] [--seconds 600]`.

Trains one model on the first frames of the official training split 01 for a fixed time and prints
its errors on the whole test split, beside published ones. FOLDER holds `ethanol_train_01.xyz` and
`ethanol_test_01.xyz` (Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020);
eV and Angstrom).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from potential.data.dataset import Dataset
from potential.data.structure_files import read_dataset
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.nequip.model_config import ModelConfig
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig

# Force MAE in meV/Angstrom after training on 50 frames, as the NequIP and MACE papers give it.
PUBLISHED = {"ethanol": {"NequIP": 40.2, "MACE": 32.6}, "aspirin": {"NequIP": 52.0, "MACE": 43.9}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecule", default="ethanol")
    parser.add_argument("--frames", type=int, default=50, help="training frames")
    parser.add_argument("--validation", type=int, default=0, help="further frames to choose the epoch by")
    parser.add_argument("--seconds", type=float, default=600.0, help="training time")
    parser.add_argument("--model", default="{}", help="changes to the model, as JSON")
    parser.add_argument("--training", default="{}", help="changes to the training, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    train, test = (
        read_dataset(arguments.folder / f"{arguments.molecule}_{part}_01.xyz", "rMD17")
        for part in ("train", "test")
    )
    n, held = arguments.frames, arguments.validation
    model = ModelConfig(**({"committee_size": 1} | json.loads(arguments.model)))
    training = TrainingConfig(
        **({"max_epochs": 10**6, "max_seconds": arguments.seconds} | json.loads(arguments.training))
    )
    with tempfile.TemporaryDirectory() as folder:
        trained = train_committee(
            Dataset.of(train.items[:n]),
            Dataset.of(train.items[n : n + held]),
            model=model,
            training=training,
            seed=arguments.seed,
            folder=Path(folder),
        )
    found = evaluate(Evaluator(trained.model), test)
    last = trained.history[-1]
    print(
        f"{arguments.molecule}: {n} training frames, {last.step} steps in {trained.seconds:.0f} s, "
        f"training force MAE {1000 * last.train_force_mae:.1f} meV/Å\n"
        f"test ({found.n_frames} frames): force MAE {1000 * found.force_mae:.1f} meV/Å, "
        f"energy MAE {1000 * found.frames['n_atoms'].iloc[0] * found.energy_mae:.1f} meV"
    )
    if found.spearman is not None:
        print(f"Spearman correlation of disagreement and force error {found.spearman:.2f}")
    if n == 50 and arguments.molecule in PUBLISHED:
        for name, error in PUBLISHED[arguments.molecule].items():
            print(f"published, {name}: force MAE {error} meV/Å")


if __name__ == "__main__":
    main()
