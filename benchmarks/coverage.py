"""Do the expected errors hold? `python -m benchmarks.coverage TRAIN.xyz TEST.xyz [ANOTHER.xyz ...]`

    python -m benchmarks.coverage aspirin_train_01.xyz aspirin_test_01.xyz --frames 100 --seeds 0 1

As a campaign does it: a committee learns the first frames of TRAIN but a share that is held out, its
disagreement is calibrated on these, and every test file is scored. Coverage is the share of atoms whose
force error is within the interval, in percent, to be compared with 68, 90 and 95. Labels are in eV and
eV/Angstrom. Committees are kept in `--output`: a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pandas as pd

from potential.calibration.calibration import LEVELS
from potential.calibration.fit import fit_calibration
from potential.calibration.pairs import Pairs
from potential.calibration.scores import score_calibration
from potential.data.dataset import Dataset
from potential.data.structure_files import read_dataset
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig

BOUND = 0.1
"""eV/Angstrom: AUROC is of "the error of an atom is above it"."""


def main() -> None:
    arguments = _arguments()
    data = Dataset.of(read_dataset(arguments.train, "coverage").items[: arguments.frames])
    tests = {path.stem: read_dataset(path, "coverage") for path in arguments.tests}
    rows = [row for seed in arguments.seeds for row in scored(arguments, data, tests, seed)]
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.2f"))


def scored(
    arguments: argparse.Namespace, data: Dataset, tests: dict[str, Dataset], seed: int
) -> list[dict[str, object]]:
    """A row for each test: error in meV/Angstrom, coverage in percent, Spearman, AUROC and ENCE."""
    learned, held_out = data.split(round(arguments.held_out * len(data)), seed=seed)
    begin_from = None if arguments.begin_from is None else load_potential(arguments.begin_from)
    training = TrainingConfig(
        max_steps=arguments.steps,
        max_epochs=10**9,
        learning_rate=0.02 if begin_from is None else 0.005,
        checkpoint_every_epochs=100,
    )
    name = hashlib.sha256(f"{data.fingerprint} {vars(arguments)}".encode()).hexdigest()[:10]
    trained = train_committee(
        learned,
        held_out,
        model=ModelConfig(),
        training=training,
        seed=seed,
        folder=arguments.output / f"{name}-{seed}",
        warm_start=begin_from,
    )
    committee = Evaluator(trained.model)
    calibration = fit_calibration(Pairs.of(evaluate(committee, held_out).atoms))
    if calibration is None:
        raise SystemExit(f"{len(held_out)} frames held out are too few to calibrate on; raise --held-out")
    rows = []
    for test, labelled in tests.items():
        found = score_calibration(
            calibration, Pairs.of(evaluate(committee, labelled).atoms), bound_eV_per_A=BOUND
        )
        covered = {f"{level:.0%}": 100 * share for level, share in zip(LEVELS, found.coverage, strict=True)}
        rows.append(
            {"test": test, "seed": seed, "learned": len(learned), "held out": len(held_out)}
            | {"force MAE": 1000 * found.mae, "expected": 1000 * found.expected_mae}
            | covered
            | {"Spearman": found.spearman, "AUROC": found.auroc, "ENCE": found.ence}
        )
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("tests", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=100, help="labels, held-out ones included")
    parser.add_argument("--held-out", type=float, default=0.2, help="share of them")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--begin-from", type=Path, help="a potential with the default model's settings")
    parser.add_argument("--output", type=Path, default=Path("build/coverage"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
