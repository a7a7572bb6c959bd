"""The points of learning curves: trained, tested and selected from, each once, in the study's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from exploration.labelled_pool import select_from_pool
from exploration.strategies import Strategy
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.stages import Stage, is_finished
from flows.settings.study_config import LabelledFile, StudyConfig
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.data.role import to_learn_from, to_test_on
from potential.data.structure_files import read_dataset
from potential.evaluation import Evaluation, evaluate
from potential.evaluator import Evaluator
from potential.metrics import METRICS
from potential.nequip.model import NequIP
from potential.package import load_potential, save_potential
from potential.training.train import train_committee
from potential.training.training_config import NOT_OF_THE_RESULT
from potential.training.unteachable import refuse_unteachable_labels


def _remedy(point: Path) -> str:
    curves = point.parent.parent
    return (
        f"Either put the setting back, or start a new study under another `name`, or delete {curves}\n"
        "to draw all curves anew."
    )


POINT = Stage(
    name="point",
    title="a point of a learning curve",
    inputs=("model", "training", "weights", "data", "tests", "seed"),
    outputs=("potential/weights.safetensors", "metrics.json"),
    half_done="go on",  # the training, from its checkpoint
    later={"weights": None},
    remedy=_remedy,
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One strategy with one model and one seed."""

    model: str
    strategy: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}-{self.strategy}-{self.seed}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """What a study learns from, is tested on, and begins from.

    Attributes:
        weights: of models that do not begin at random, by name.
    """

    pool: Dataset
    tests: Mapping[str, Dataset]
    weights: Mapping[str, NequIP]

    @classmethod
    def of(cls, config: StudyConfig) -> Data:
        """Read the files of a configuration.

        Raises:
            ValueError, FileNotFoundError: for a file that cannot be read, a pool that is smaller than the
                study's largest size, a test frame that is in the pool or has an element that a model will
                not know, labels that no training of these settings can learn, or weights of another model.
        """
        pool = _read(config.pool, to_learn_from)
        if len(pool) < config.sizes[-1]:
            raise ValueError(
                f"pool: {config.pool.path.name} has {len(pool)} frames, and sizes go up to {config.sizes[-1]}"
            )
        tests = {name: _read(file, to_test_on) for name, file in config.tests.items()}
        known = {frame.id for frame in pool.frames}
        for name, test in tests.items():
            if shared := known & {frame.id for frame in test.frames}:
                raise ValueError(f"tests.{name}: {len(shared)} of its frames are in the pool, too")
        tested = [frame for test in tests.values() for frame in test.frames]
        for model in config.models.values():
            refuse_unteachable_labels(pool, model, config.training, seen_with=tested)
        weights = {name: _weights(config, name, pool) for name in config.weights}
        for mine, (name, test) in product(config.models, tests.items()):
            if unseen := set(_elements(test.frames)) - set(_known(weights.get(mine), pool)):
                raise ValueError(f"tests.{name}: models.{mine} would never have seen {_symbols(unseen)}")
        return cls(pool=pool, tests=tests, weights=weights)


def _read(file: LabelledFile, take: Callable[[Sequence[Frame]], list[Frame]]) -> Dataset:
    there = read_dataset(file.path, level_key=file.path.name, energy=file.energy, forces=file.forces)
    taken = {frame.id for frame in take(there.frames)}
    dataset = Dataset.of(item for item in there if item.frame.id in taken)
    if file.frames is None or file.frames >= len(dataset):
        return dataset
    _, drawn = dataset.split(file.frames, seed=0)
    return drawn


def _weights(config: StudyConfig, name: str, pool: Dataset) -> NequIP:
    path, wanted = config.weights[name], config.models[name]
    model = load_potential(path, device=config.training.device)
    if model.config != wanted:
        raise ValueError(f"weights.{name}: {path} is {model.config}, and models.{name} is {wanted}")
    if unseen := set(_elements(pool.frames)) - set(model.numbers.tolist()):
        raise ValueError(f"weights.{name}: {path} has never seen {_symbols(unseen)}; pretrain on it too")
    return model


def _known(weights: NequIP | None, pool: Dataset) -> list[int]:
    """Atomic numbers that a model knows: of its weights, or of the pool, the rest of which it must judge."""
    return _elements(pool.frames) if weights is None else weights.numbers.tolist()


def _elements(frames: Sequence[Frame]) -> list[int]:
    """Atomic numbers of all frames."""
    return sorted({int(z) for frame in frames for z in frame.numbers})


def _symbols(numbers: Collection[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in sorted(numbers))


def curves_of(config: StudyConfig) -> list[Curve]:
    """Seed by seed, so that what is finished of a stopped study compares all strategies."""
    return [
        Curve(model=model, strategy=strategy, seed=seed)
        for seed, model, strategy in product(range(config.seeds), config.models, config.strategies)
    ]


def points_left(config: StudyConfig) -> tuple[int, int]:
    """Points that are not finished, and all of them; the first ones are shared by the strategies."""
    sizes = list(enumerate(config.sizes))
    places = {_place(config, curve, i, size) for curve in curves_of(config) for i, size in sizes}
    return sum(not is_finished(place) for place in places), len(places)


def folder_of(config: StudyConfig) -> Path:
    return config.folder / config.name


def draw_curve(config: StudyConfig, curve: Curve, data: Data) -> Iterator[dict[str, object]]:
    """Make the points of a curve, or find them; a row of metrics for each, as `finished_points` has it.

    Every strategy begins with the same frames for the same seed, and so with the same committee.
    """
    strategy = config.strategies[curve.strategy]
    rng = np.random.default_rng(seed_for(curve.seed, "start"))
    order = rng.permutation(len(data.pool))[: config.sizes[0]]
    learned = Dataset.of(data.pool.items[i] for i in sorted(order.tolist()))
    labels = {item.frame.id: item for item in data.pool}
    for i, size in enumerate(config.sizes):
        here = _place(config, curve, i, size)
        _make_point(config, curve, learned, data, here)
        yield {"model": curve.model, "strategy": curve.strategy, "seed": curve.seed, **_metrics(here)}
        if i + 1 < len(config.sizes):
            picked = _pick(config, curve, strategy, here, data.pool, learned, config.sizes[i + 1] - size)
            learned = learned.add(labels[frame_id] for frame_id in picked)


def _place(config: StudyConfig, curve: Curve, i: int, size: int) -> Path:
    """The first point is one and the same for all strategies."""
    name = f"{curve.model}-start-{curve.seed}" if i == 0 else str(curve)
    return folder_of(config) / "curves" / name / f"{size:05d}"


def _make_point(config: StudyConfig, curve: Curve, learned: Dataset, data: Data, here: Path) -> None:
    model, weights = config.models[curve.model], data.weights.get(curve.model)
    training = config.training
    if weights is not None:
        training = training.model_copy(update={"learning_rate": config.fine_tuning_rate})
    n_held_out = round(config.training.validation_fraction * len(learned))
    train, held_out = learned.split(n_held_out, seed=seed_for(curve.seed, "split", len(learned)))
    inputs = {
        "model": Settings(model),
        "training": Settings(training, NOT_OF_THE_RESULT - {"mixed_charges"}),
        "weights": None if weights is None else _digest(config.weights[curve.model]),
        "data": learned.fingerprint,
        "tests": {name: test.fingerprint for name, test in data.tests.items()},
        "seed": curve.seed,
    }

    def make(into: Path) -> None:
        trained = train_committee(
            train,
            held_out,
            model=model,
            training=training,
            seed=seed_for(curve.seed, "train", len(learned)),
            folder=into,
            numbers=_known(weights, data.pool),
            warm_start=weights,
            description=f"  {curve}, {len(learned)} labels",
        )
        save_potential(into / "potential", trained.model, {"name": f"{config.name}, {curve}"})
        committee = Evaluator(trained.model)
        found = {name: _numbers(evaluate(committee, test)) for name, test in data.tests.items()}
        content = {"n_labels": len(learned), "train_seconds": trained.seconds, "tests": found}
        write_atomically(into / "metrics.json", json.dumps(content, indent=2))
        for checkpoint in into.glob("checkpoint*"):
            checkpoint.unlink()

    POINT.run(here, inputs, make)


def _digest(potential: Path) -> str:
    return hashlib.sha256((potential / "weights.safetensors").read_bytes()).hexdigest()


def _pick(
    config: StudyConfig,
    curve: Curve,
    strategy: Strategy,
    here: Path,
    pool: Dataset,
    learned: Dataset,
    n: int,
) -> list[str]:
    """Ids of the next labels, once chosen kept beside the curve."""
    wanted = {
        "strategy": strategy.model_dump(mode="json"),
        "candidate_share": config.candidate_share,
        "learned": hashlib.sha256(learned.fingerprint.encode()).hexdigest(),
        "n": n,
    }
    file = folder_of(config) / "curves" / str(curve) / f"picked_after_{len(learned):05d}.json"
    if file.exists() and (kept := json.loads(file.read_text()))["wanted"] == wanted:
        return list(kept["picked"])
    selection = select_from_pool(
        Evaluator(load_potential(here / "potential")),
        pool.frames,
        learned.frames,
        strategy,
        n,
        candidate_share=config.candidate_share,
        seed=seed_for(curve.seed, "select", len(learned)),
    )
    picked = [frame.id for frame in selection.frames]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps({"wanted": wanted, "picked": picked}, indent=2))
    return picked


def _numbers(found: Evaluation) -> dict[str, float | None]:
    """eV/Angstrom and eV/atom."""
    numbers: dict[str, float | None] = {
        name: getattr(found, name) for name in ("force_mae", "force_rmse", "energy_mae", "spearman")
    }
    return numbers | {metric.name: metric.of(found) for metric in METRICS}


def _metrics(here: Path) -> dict[str, object]:
    content = json.loads((here / "metrics.json").read_text())
    row = {"n_labels": content["n_labels"], "train_seconds": content["train_seconds"]}
    for test, numbers in content["tests"].items():
        row |= {f"{test}_{name}": value for name, value in numbers.items()}
    return row


def finished_points(config: StudyConfig) -> pd.DataFrame:
    """A row for each finished point: model, strategy, seed, size, n_labels, train_seconds, <test>_<metric>.

    A curve that did not find enough to label has fewer labels than its size; it counts with its size.
    """
    rows = []
    for curve in curves_of(config):
        for i, size in enumerate(config.sizes):
            here = _place(config, curve, i, size)
            if not is_finished(here):
                break
            names = {"model": curve.model, "strategy": curve.strategy, "seed": curve.seed, "size": size}
            rows.append({**names, **_metrics(here)})
    return pd.DataFrame(rows)
