"""Single steps without a campaign around them: train, and a potential with a structure to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ase.data import chemical_symbols

from flows.cli.output import require_folder
from flows.cli.pretrain import taught_potential, teacher_of
from flows.cli.reading import reading
from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.record.lock import folder_lock
from potential.data.dataset import Dataset, LabelledFrame
from potential.data.frame import Frame
from potential.data.role import Role, role_of
from potential.data.structure_files import read_dataset, read_frames
from potential.nequip.model_config import ModelConfig
from potential.roles import Roles
from potential.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from potential.calculator import Potential
    from potential.evaluator import Evaluator

C = TypeVar("C", ModelConfig, TrainingConfig)


def train_on_file(
    data: Path,
    *,
    output: Path,
    campaign: Path | None,
    changes: Mapping[str, Mapping[str, Any]],
    seed: int,
    names: Mapping[str, Any],
    pretrain: bool = False,
) -> None:
    """Train a committee on a labelled file.

    Args:
        pretrain: teach it first, as the campaign says or with GFN2-xTB, on dynamics from one frame of each
            composition that is not of a frozen test.
        names: the file's names of energy, forces and stress, as `read_dataset` takes them.

    Raises:
        ConfigError: for a file without labels, or impossible settings.
    """
    from potential.known_environments import KnownEnvironments
    from potential.package import load_potential, save_potential
    from potential.training.train import train_committee
    from potential.training.unteachable import refuse_unteachable_labels

    config = None if campaign is None else CampaignFolder.open(campaign).config
    with reading("settings"):
        model = _changed(config.model if config else ModelConfig(), changes["model"])
        training = _changed(config.training if config else TrainingConfig(), changes["training"])
    with reading(data):
        dataset = read_dataset(data, level_key=data.name, **names)
    require_folder(output)
    print(f"{len(dataset)} labelled frames")
    learned, held_out, tests = _parts(dataset, training.validation_fraction, seed)
    if len(tests):
        print(f"{len(tests)} of them are of a frozen test (role) and are not trained on")
    with reading(data):
        refuse_unteachable_labels(learned, model, training, seen_with=held_out.frames)
    with folder_lock(output / "training"):
        warm_start = None
        if pretrain:
            source = teacher_of(None if config is None else config.pretraining)
            tested = {frame.id for frame in tests.frames}
            usable = [frame for frame in dataset.frames if frame.id not in tested]
            # One frame of each composition, the first.
            starts = list({frame.formula: frame for frame in reversed(usable)}.values())[::-1]
            taught = taught_potential(
                starts, source, model=model, training=training, seed=seed, folder=output / "pretraining"
            )
            warm_start = load_potential(taught, device=training.device)
            training = training.model_copy(update={"learning_rate": source.fine_tuning_rate})
        try:
            trained = train_committee(
                learned,
                held_out,
                model=model,
                training=training,
                seed=seed,
                folder=output / "training",
                warm_start=warm_start,
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
    KnownEnvironments.of(learned.frames).save(output)
    parts = (learned, held_out, tests)
    train, held, test = ([frame.id for frame in part.frames] for part in parts)
    Roles.made(train=train, held_out=held, test=test).save(output)
    last = next((r for r in reversed(trained.history) if r.validation_force_mae is not None), None)
    error = (
        "" if last is None else f", validation force MAE {1000 * (last.validation_force_mae or 0):.1f} meV/Å"
    )
    print(f"{len(trained.history)} epochs in {trained.seconds:.0f} s{error}\nwrote {output}")


def _parts(dataset: Dataset, validation_fraction: float, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """What is learned from, held out, and tested on, as the file says; it may leave open what is held out."""
    by_role: dict[Role | None, list[LabelledFrame]] = {"train": [], "held_out": [], "test": [], None: []}
    for item in dataset:
        by_role[role_of(item.frame)].append(item)
    held_out, test = Dataset.of(by_role["held_out"]), Dataset.of(by_role["test"])
    rest = Dataset.of([*by_role["train"], *by_role[None]])
    if validation_fraction == 0:
        return rest.add(held_out), Dataset(), test
    if len(held_out):
        return rest, held_out, test
    return *rest.split(round(validation_fraction * len(rest)), seed=seed), test


def _changed(config: C, changes: Mapping[str, Any]) -> C:
    given = {key: value for key, value in changes.items() if value is not None}
    return type(config).model_validate(config.model_dump() | given)


def potential_for(potential: Path, structure: Path) -> tuple[Potential, Frame]:
    """A potential, and the last structure of a file, which it must know.

    Raises:
        ConfigError: for a folder that is no potential, an unreadable structure, or elements that the
            potential has never seen.
    """
    from potential.calculator import Potential

    with reading(potential):
        calculator = Potential.load(potential)
    with reading(structure):
        frame = read_frames(structure, index="-1")[0]
    refuse_unknown_elements(structure, [frame], calculator.evaluator)
    return calculator, frame


def refuse_unknown_elements(source: Path, frames: Sequence[Frame], evaluator: Evaluator) -> None:
    known: list[int] = evaluator.model.numbers.tolist()
    unknown = sorted({z for frame in frames for z in frame.numbers.tolist()} - set(known))
    if unknown:
        names, learned = (", ".join(chemical_symbols[z] for z in numbers) for numbers in (unknown, known))
        raise ConfigError(
            source, [f"has elements that the potential has never seen: {names}; it knows {learned}"]
        )
