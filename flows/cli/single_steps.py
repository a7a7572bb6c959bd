"""Single steps without a campaign around them: label, train, run, evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from potential.data.structure_files import frames_as_they_come, read_dataset, read_frames
from potential.nequip.model_config import ModelConfig
from potential.training.training_config import TrainingConfig

C = TypeVar("C", ModelConfig, TrainingConfig)


@contextmanager
def reading(source: object) -> Iterator[None]:
    """What is wrong with a user's file or values is an error of usage."""
    try:
        yield
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(source, problems) from error
    except (ValueError, OSError) as error:
        raise ConfigError(source, [str(error)]) from error


def train_on_file(
    data: Path,
    *,
    output: Path,
    campaign: Path | None,
    changes: Mapping[str, Mapping[str, Any]],
    seed: int,
    names: Mapping[str, Any],
) -> None:
    """Train a committee on a labelled file.

    Args:
        names: the file's names of energy, forces and stress, as `read_dataset` takes them.

    Raises:
        ConfigError: for a file without labels, or impossible settings.
    """
    from potential.package import save_potential
    from potential.training.train import train_committee

    config = None if campaign is None else CampaignFolder.open(campaign).config
    with reading("settings"):
        model = _changed(config.model if config else ModelConfig(), changes["model"])
        training = _changed(config.training if config else TrainingConfig(), changes["training"])
    with reading(data):
        dataset = read_dataset(data, level_key=data.name, **names)
    print(f"{len(dataset)} labelled frames")
    learned, held_out = dataset.split(round(training.validation_fraction * len(dataset)), seed=seed)
    try:
        trained = train_committee(
            learned, held_out, model=model, training=training, seed=seed, folder=output / "training"
        )
    except ValueError as unfit:  # what these data cannot teach
        raise ConfigError(data, [str(unfit)]) from unfit
    card = {
        "name": data.stem,
        "data": {"file": str(data), "frames": len(dataset), "fingerprint": dataset.fingerprint},
        "training": {"epochs": len(trained.history), "seconds": trained.seconds, "seed": seed},
        "backend": trained.backend,
    }
    save_potential(output, trained.model, card)
    last = next((r for r in reversed(trained.history) if r.validation_force_mae is not None), None)
    error = (
        "" if last is None else f", validation force MAE {1000 * (last.validation_force_mae or 0):.1f} meV/Å"
    )
    print(f"{len(trained.history)} epochs in {trained.seconds:.0f} s{error}\nwrote {output}")


def _changed(config: C, changes: Mapping[str, Any]) -> C:
    given = {key: value for key, value in changes.items() if value is not None}
    return type(config).model_validate(config.model_dump() | given)


def run_md(
    potential: Path,
    structure: Path,
    *,
    temperature_K: float,
    steps: int,
    timestep_fs: float,
    friction_per_fs: float,
    every: int,
    output: Path,
    seed: int,
) -> None:
    """Langevin dynamics with a potential through ASE; stops when something is not finite.

    Frames are on disk as they come: what was reached stays, however the process ends.

    Raises:
        ConfigError: for a folder that is no potential, or an unreadable structure.
        CampaignError: when the dynamics explodes.
    """
    import numpy as np
    from ase import units
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import thermalize_momenta

    from potential.calculator import Potential

    with reading(potential):
        calculator = Potential.load(potential)
    with reading(structure):
        frame = read_frames(structure, index="-1")[0]
    rng = np.random.default_rng(seed)
    atoms = frame.to_atoms()
    atoms.calc = calculator
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=rng)
    dynamics = Langevin(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature_K,
        friction=friction_per_fs / units.fs,
        fixcm=False,
        rng=rng,
    )
    count = 0
    print(f"{'time (fs)':>10} {'energy (eV)':>14} {'T (K)':>7} {'max disagreement (meV/Å)':>25}")

    def record() -> None:
        nonlocal count
        energy = atoms.get_potential_energy()
        disagreement = float(calculator.results["force_disagreement"].max())
        time_fs = dynamics.nsteps * timestep_fs
        line = f"{time_fs:10.1f} {energy:14.4f} {atoms.get_temperature():7.0f} {1000 * disagreement:25.1f}"
        print(line, flush=True)
        if not np.isfinite([energy, disagreement, *atoms.positions.ravel()]).all():
            raise CampaignError(f"the dynamics exploded before {time_fs:g} fs; lower --timestep-fs")
        write(frame.moved(atoms.positions, origin={"method": "md", "time_fs": time_fs}))
        count += 1

    with frames_as_they_come(output) as write:
        dynamics.attach(record, interval=every)
        try:
            dynamics.run(steps)
        finally:
            print(f"wrote {count} frames to {output}")


def evaluate_on_file(potential: Path, data: Path, *, names: Mapping[str, Any], output: Path | None) -> None:
    """Errors of a potential on a labelled file, with `names` as in `train_on_file`.

    Raises:
        ConfigError: for a folder that is no potential, or a file without labels.
    """
    from potential.evaluation import evaluate
    from potential.evaluator import Evaluator
    from potential.package import load_potential

    with reading(potential):
        evaluator = Evaluator(load_potential(potential))
    with reading(data):
        dataset = read_dataset(data, level_key=data.name, **names)
    unknown = sorted({z for f in dataset.frames for z in f.numbers.tolist()} - set(_elements(evaluator)))
    if unknown:
        raise ConfigError(data, [f"has elements (Z = {unknown}) that the potential has never seen"])
    found = evaluate(evaluator, dataset)
    print(f"{found.n_frames} frames")
    for quantity, unit in (("force", "meV/Å"), ("energy", "meV/atom")):
        mae, rmse = (1000 * getattr(found, f"{quantity}_{kind}") for kind in ("mae", "rmse"))
        print(f"{quantity:<7} MAE {mae:10.2f}   RMSE {rmse:10.2f} {unit}")
    if found.spearman is not None:
        print(f"Spearman correlation of disagreement and force error {found.spearman:.2f}")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found.atoms.to_csv(output / "atoms.csv", index=False)
        found.frames.to_csv(output / "frames.csv", index=False)
        print(f"wrote {output}/atoms.csv and frames.csv")


def _elements(evaluator: Any) -> list[int]:
    numbers: list[int] = evaluator.model.numbers.tolist()
    return numbers
