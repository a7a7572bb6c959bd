"""Before the first training on labels: the teacher's frames, then a training on them; each done once."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from ase.data import chemical_symbols
from threadpoolctl import threadpool_limits

from exploration.teacher_md import Taught, Walk, Walked, distinct, walk, walks
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.results import PretrainSummary, TeachSummary
from flows.record.seeds import seed_for
from flows.record.stages import Settings
from flows.record.table import PRETRAIN, TEACH
from flows.settings.campaign_config import CampaignConfig
from flows.settings.pretraining import (
    LAST_ELEMENT_OF_GFN2,
    AutomaticPretraining,
    FromPotential,
    FromTeacher,
    NoPretraining,
)
from flows.steps.step import step
from flows.steps.train import Pretrained
from flows.views.console import say
from flows.views.progress import progress
from flows.views.summary import duration
from labeling.ase_labeler import calculator_for
from labeling.ase_level import AseLevel
from labeling.level import PySCFLevel, settings
from labeling.provenance import where_and_with
from labeling.store import LabelStore
from labeling.workers import available_cores
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.package import load_card, load_potential, save_potential
from potential.training.train import train_committee

HELD_OUT = 20
"""Of each walk's frames the last of so many is held out; they follow one another, so that few are alike."""


def source_of(
    campaign: CampaignFolder, structures: Sequence[Frame]
) -> FromTeacher | FromPotential | NoPretraining:
    """Where the committee's first weights come from: as configured, or what `auto` means here."""
    config = campaign.config
    match config.pretraining:
        case AutomaticPretraining():
            begun = campaign.round(0).train.exists() and not campaign.pretrain.exists()
            return NoPretraining() if begun or why_not(config, structures) else FromTeacher()
        case chosen:
            return chosen


def why_not(config: CampaignConfig, structures: Sequence[Frame]) -> str | None:
    """Why `auto` does without pretraining; None where GFN2-xTB can teach."""
    if not isinstance(config.level, PySCFLevel):
        return f"labels of {config.level.name} are cheap, or of crystals"
    if any(any(frame.pbc) for frame in structures):
        return "the structures are periodic"
    if any(int(frame.numbers.max()) > LAST_ELEMENT_OF_GFN2 for frame in structures):
        return "GFN2-xTB has no parameters beyond radon"
    if find_spec("tblite") is None:
        return "tblite is not installed"
    return None


def pretrain(
    campaign: CampaignFolder, structures: Sequence[Frame], elements: Sequence[int]
) -> Pretrained | None:
    """The weights that every arm and round begins from; None where they begin at random.

    Raises:
        CampaignError: where the teacher cannot treat the structures, or the potential to begin from does
            not fit the model.
    """
    match source_of(campaign, structures):
        case NoPretraining():
            return None
        case FromTeacher() as source:
            data = teach(campaign, source, structures)
            learn_from_teacher(campaign, source, data, elements)
        case FromPotential() as source:
            take_over_weights(campaign, source, elements)
    potential = campaign.pretrain / "potential"
    return Pretrained(
        potential=potential,
        elements=tuple(load_potential(potential).numbers.tolist()),
        fine_tuning_rate=source.fine_tuning_rate,
    )


@step("teach", "make the teacher's frames")
def teach(campaign: CampaignFolder, source: FromTeacher, structures: Sequence[Frame]) -> Dataset:
    """Frames of the teacher's dynamics with its labels, walk by walk in a store of their own."""
    config = campaign.config
    inputs = {
        "teacher": settings(source.teacher),
        "dynamics": Settings(source.dynamics),
        "frames": source.frames,
        "structure": [frame.id for frame in structures],
        "seed": config.seed,
    }
    try:
        for frame in structures:
            source.teacher.check(frame)
    except ValueError as error:
        raise CampaignError(f"pretraining: {error}; or write `pretraining: off`") from error

    def make(into: Path) -> None:
        every = walks(source.frames, len(structures), source.dynamics)
        run = partial(_run_walk, structures, source, seed_for(config.seed, "teach"))
        seconds, broken = 0.0, []
        packages = dict.fromkeys(("ase", source.teacher.entry.distribution))
        provenance = {"level": source.teacher.model_dump(mode="json"), **where_and_with(*packages)}
        with LabelStore(into / "teacher.db") as store:
            done = {frame.origin["walk"] for frame in store.frames(source.teacher.key)}
            left = [here for here in every if here.number not in done]
            with progress(f"{config.name}-teach", "teacher's frames", source.frames, "frame") as count:
                made = source.frames - sum(here.n_frames for here in left)
                for here, walked, took in _side_by_side(run, left):
                    store.add_all(_labelled(item, source.teacher, provenance) for item in walked.taught)
                    made, seconds = made + here.n_frames, seconds + took
                    broken += [] if walked.broken is None else [walked.broken]
                    count(made)
            data, n_alike = _taught(store)
        if len(data) < source.frames / 2:
            raise CampaignError(
                f"pretraining: the teacher made {len(data)} of {source.frames} frames; {broken[0]}. Lower "
                "temperatures_K or timestep_fs in `pretraining.dynamics`, or write `pretraining: off`."
            )
        summary = TeachSummary(
            n_frames=len(data), n_alike=n_alike, n_walks=len(every), broken=tuple(broken), seconds=seconds
        )
        write_atomically(into / "summary.json", summary.model_dump_json(indent=2))

    TEACH.run(campaign.teach, inputs, make)
    summary = TeachSummary.model_validate_json((campaign.teach / "summary.json").read_text())
    say(f"  pretraining: {summary.n_frames} frames of {source.teacher.name}, {duration(summary.seconds)}")
    for text in summary.broken:
        say(f"    a walk ended early: {text}")
    with LabelStore(campaign.teach / "teacher.db") as store:
        return _taught(store)[0]


def _run_walk(
    structures: Sequence[Frame], source: FromTeacher, seed: int, here: Walk
) -> tuple[Walk, Walked, float]:
    began = time.perf_counter()
    calculator = partial(calculator_for, level=source.teacher)
    walked = walk(structures[here.start], here, source.dynamics, calculator, seed=seed)
    return here, walked, time.perf_counter() - began


def _side_by_side(
    run: Callable[[Walk], tuple[Walk, Walked, float]], every: Iterable[Walk]
) -> Iterator[tuple[Walk, Walked, float]]:
    """As they come, in threads: the teacher computes in compiled code, which lets other threads run."""
    threads = ThreadPoolExecutor(available_cores())
    try:
        with threadpool_limits(1):  # a walk a core
            futures = [threads.submit(run, here) for here in every]
            for future in as_completed(futures):
                yield future.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _labelled(item: Taught, teacher: AseLevel, provenance: Mapping[str, Any]) -> LabelledFrame:
    label = Label(
        frame_id=item.frame.id,
        level_key=teacher.key,
        energy=item.energy,
        forces=item.forces,
        stress=item.stress,
        provenance=dict(provenance),
    )
    return LabelledFrame(frame=item.frame, label=label)


def _taught(store: LabelStore) -> tuple[Dataset, int]:
    """What a teacher has made, in the order of its walks, and how many frames were left out as alike."""
    items = sorted(store, key=lambda item: (item.frame.origin["walk"], item.frame.origin["step"]))
    kept = distinct([item.frame for item in items])
    return Dataset.of(items[i] for i in kept), len(items) - len(kept)


@step("pretrain", "pretrain on the teacher's frames")
def learn_from_teacher(
    campaign: CampaignFolder, source: FromTeacher, data: Dataset, elements: Sequence[int]
) -> None:
    """Train the committee on the teacher's labels; a killed training goes on."""
    config = campaign.config
    training = source.training(config.training)
    inputs = {
        "source": data.fingerprint,
        "model": Settings(config.model),
        "training": Settings(training, frozenset({"device", "checkpoint_every_epochs", "mixed_charges"})),
        "elements": list(elements),
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        held_out = Dataset.of(data.items[HELD_OUT - 1 :: HELD_OUT])
        learned = Dataset.of(item for i, item in enumerate(data.items, start=1) if i % HELD_OUT)
        with progress(f"{config.name}-pretraining", "pretraining", 100, "%", own_bar=True) as done:
            trained = train_committee(
                learned,
                Dataset.of([]),
                model=config.model,
                training=training,
                seed=seed_for(config.seed, "pretrain"),
                folder=into,
                numbers=elements,
                on_epoch=lambda record: done(round(100 * record.fraction)),
                description="  pretraining",
            )
        history = pd.DataFrame([dataclasses.asdict(record) for record in trained.history])
        history.to_csv(into / "history.csv", index=False)
        found = evaluate(Evaluator(trained.model), held_out)
        card = {
            "name": f"{config.name}, pretrained",
            "reference": {"level of theory": source.teacher.name},
            "backend": trained.backend,
        }
        save_potential(into / "potential", trained.model, card)
        summary = PretrainSummary(
            source=source.teacher.name,
            n_train=len(learned),
            n_held_out=len(held_out),
            steps=trained.history[-1].step,
            force_mae=found.force_mae,
            energy_mae=found.energy_mae,
            seconds=trained.seconds,
        )
        write_atomically(into / "summary.json", summary.model_dump_json(indent=2))
        for checkpoint in into.glob("checkpoint*"):
            checkpoint.unlink()

    PRETRAIN.run(campaign.pretrain, inputs, make)
    summary = PretrainSummary.model_validate_json((campaign.pretrain / "summary.json").read_text())
    assert summary.force_mae is not None, "it was measured"
    say(
        f"  pretraining on {summary.n_train} of them: {summary.steps} steps in {duration(summary.seconds)}; "
        f"force MAE {1000 * summary.force_mae:.1f} meV/Å on {summary.n_held_out} that were held out"
    )


@step("take over weights", "take over weights")
def take_over_weights(campaign: CampaignFolder, source: FromPotential, elements: Sequence[int]) -> None:
    """Copy a potential that was trained elsewhere, so that the campaign's folder has all that it needs."""
    config = campaign.config
    try:
        model = load_potential(source.path)
    except (ValueError, OSError) as error:
        raise CampaignError(f"pretraining.path: {error}") from error
    if model.config != config.model:
        raise CampaignError(
            f"pretraining.path: {source.path} is {model.config}, and `model` is {config.model}; write the "
            "same architecture there"
        )
    if missing := sorted(set(elements) - set(model.numbers.tolist())):
        symbols = ", ".join(chemical_symbols[z] for z in missing)
        raise CampaignError(f"pretraining.path: {source.path} has never seen {symbols}; pretrain on it too")

    def make(into: Path) -> None:
        save_potential(into / "potential", model, load_card(source.path))
        summary = PretrainSummary(
            source=source.path.name,
            n_train=0,
            n_held_out=0,
            steps=0,
            force_mae=None,
            energy_mae=None,
            seconds=0.0,
        )
        write_atomically(into / "summary.json", summary.model_dump_json(indent=2))

    inputs = {
        "source": hashlib.sha256((source.path / "weights.safetensors").read_bytes()).hexdigest(),
        "model": Settings(config.model),
        "training": None,
        "elements": list(elements),
        "seed": config.seed,
    }
    PRETRAIN.run(campaign.pretrain, inputs, make)
    say(f"  the committee begins from the weights of {source.path}")
