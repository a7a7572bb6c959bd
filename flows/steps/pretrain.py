"""Before the first training on labels: the teacher's frames, then a training on them; each done once."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ase.data import chemical_symbols

from flows.errors import CampaignError
from flows.jobs.job import compute
from flows.record.folder import CampaignFolder
from flows.record.pretraining_results import GuardSummary, PretrainSummary
from flows.record.results import SUMMARY_FILE
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.stages import read_manifest
from flows.record.table import GUARD, PRETRAIN
from flows.settings.pretraining import (
    AutomaticPretraining,
    FromPotential,
    FromTeacher,
    NoPretraining,
    why_not,
)
from flows.steps import teacher
from flows.steps.step import step
from flows.steps.train import Pretrained, weights_digest
from flows.views.console import say
from flows.views.duration import duration
from flows.views.progress import progress
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.nequip.model import NequIP
from potential.package import load_card, load_potential, save_potential
from potential.training.train import train_committee
from potential.training.training_config import NOT_OF_THE_RESULT, TrainingConfig


def source_of(
    campaign: CampaignFolder, structures: Sequence[Frame]
) -> FromTeacher | FromPotential | NoPretraining:
    """Where the committee's first weights come from: as configured, or what `auto` means here."""
    config = campaign.config
    match config.pretraining:
        case AutomaticPretraining():
            begun = campaign.round(0).train.exists() and not campaign.pretrain.exists()
            return NoPretraining() if begun or why_not(config.level, structures) else FromTeacher()
        case chosen:
            return chosen


def pretrain(
    campaign: CampaignFolder, structures: Sequence[Frame], elements: Sequence[int], labels: Dataset
) -> Pretrained | None:
    """The weights that every arm and round begins from; None where they begin at random.

    Args:
        labels: the initial ones, for the comparison that `guard` asks for.

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
    pretrained = Pretrained(
        potential=potential,
        elements=tuple(load_potential(potential).numbers.tolist()),
        fine_tuning_rate=source.fine_tuning_rate,
    )
    return pretrained if not source.guard or is_worth_it(campaign, pretrained, labels) else None


@step("teach", "make the teacher's frames")
def teach(campaign: CampaignFolder, source: FromTeacher, structures: Sequence[Frame]) -> Dataset:
    """Frames of the teacher's dynamics with its labels, walk by walk in a store of their own."""
    config = campaign.config
    counting = partial(progress, f"{config.name}-teach", "teacher's frames", source.frames, "frame")
    summary = teacher.gather(campaign.teach, structures, source, seed=config.seed, counting=counting)
    say(f"  pretraining: {summary.n_frames} frames of {source.teacher.name}, {duration(summary.seconds)}")
    for text in summary.broken:
        say(f"    a walk ended early: {text}")
    return teacher.taught(campaign.teach)[0]


@step("pretrain", "pretrain on the teacher's frames")
def learn_from_teacher(
    campaign: CampaignFolder, source: FromTeacher, data: Dataset, elements: Sequence[int]
) -> None:
    """Train the committee on the teacher's labels; a killed training goes on."""
    config = campaign.config
    summary = teacher.learn(
        campaign.pretrain,
        data,
        source,
        model=config.model,
        rounds=campaign.at(0).training,
        elements=elements,
        seed=config.seed,
        counting=partial(progress, f"{config.name}-pretraining", "pretraining", 100, "%", own_bar=True),
        how=partial(compute, engine=config.labeling.engine, kind="training", campaign=campaign.path),
    )
    assert summary.force_mae is not None, "it was measured"
    say(
        f"  pretraining on {summary.n_train} of them: {summary.steps} steps in {duration(summary.seconds)}; "
        f"force MAE {1000 * summary.force_mae:.1f} meV/Å on {summary.n_held_out} that were held out"
    )


@step("guard", "compare with and without pretraining")
def is_worth_it(campaign: CampaignFolder, pretrained: Pretrained, labels: Dataset) -> bool:
    """Whether the pretrained committee, trained on part of the labels, predicts the others better.

    With fewer than two labels nothing can be compared, and pretraining is kept.
    """
    if len(labels) < 2:
        say(f"  pretraining is kept: {len(labels)} label is too few to compare it on (pretraining.guard)")
        return True
    config = campaign.config
    learned, held_out = labels.split(max(1, len(labels) // 4), seed=seed_for(config.seed, "guard"))
    training = campaign.at(0).training.model_copy(update={"validation_fraction": 0.0})
    tuning = training.model_copy(update={"learning_rate": pretrained.fine_tuning_rate})

    def error(into: Path, description: str, how: TrainingConfig, begin_from: NequIP | None) -> float:
        with progress(f"{config.name}-guard", description, 100, "%", own_bar=True) as done:
            trained = train_committee(
                learned,
                Dataset.of([]),
                model=config.model,
                training=how,
                seed=seed_for(config.seed, "train", 0),
                folder=into,
                numbers=pretrained.elements,
                warm_start=begin_from,
                on_epoch=lambda record: done(round(100 * record.fraction)),
                description=f"  {description}",
            )
        return evaluate(Evaluator(trained.model), held_out).force_mae

    def make(into: Path) -> None:
        began = time.perf_counter()
        weights = load_potential(pretrained.potential, device=training.device)
        summary = GuardSummary(
            n_train=len(learned),
            n_held_out=len(held_out),
            pretrained=error(into / "with", "with pretraining", tuning, weights),
            scratch=error(into / "without", "without pretraining", training, None),
            seconds=time.perf_counter() - began,
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))
        for checkpoints in (into / "with", into / "without"):
            shutil.rmtree(checkpoints)

    inputs = {
        "weights": weights_digest(pretrained.potential),
        "training": Settings(training, NOT_OF_THE_RESULT),
        "data": labels.fingerprint,
        "seed": config.seed,
    }
    GUARD.run(campaign.guard, inputs, make)
    found = GuardSummary.model_validate_json((campaign.guard / SUMMARY_FILE).read_text())
    say(
        f"  on {found.n_held_out} labels held out: {1000 * found.pretrained:.1f} meV/Å with pretraining, "
        f"{1000 * found.scratch:.1f} without; it is {'kept' if found.keep else 'left out'}"
    )
    return found.keep


@step("take over weights", "take over weights")
def take_over_weights(campaign: CampaignFolder, source: FromPotential, elements: Sequence[int]) -> None:
    """Copy a potential that was trained elsewhere, so that the campaign's folder has all that it needs.

    Once it is copied, the original may go.
    """
    config, copied = campaign.config, read_manifest(campaign.pretrain)
    is_gone = copied is not None and not source.path.exists()
    place = campaign.pretrain / "potential" if is_gone else source.path
    try:
        model, card = load_potential(place), load_card(place)
    except (ValueError, OSError) as error:
        raise CampaignError(f"pretraining.path: {error}") from error
    if model.config != config.model:
        there, here = model.config.model_dump(), config.model.model_dump()
        others = (
            f"{key} is {value} there, {here[key]} here" for key, value in there.items() if value != here[key]
        )
        raise CampaignError(
            f"pretraining.path: {source.path} is of another architecture: {', '.join(others)}. Write the "
            "same in `model`, or give another potential."
        )
    if missing := sorted(set(elements) - set(model.numbers.tolist())):
        symbols = ", ".join(chemical_symbols[z] for z in missing)
        raise CampaignError(f"pretraining.path: {source.path} has never seen {symbols}; pretrain on it too")

    def make(into: Path) -> None:
        save_potential(into / "potential", model, card)
        summary = PretrainSummary(
            source=source.path.name,
            n_train=0,
            n_held_out=0,
            steps=0,
            force_mae=None,
            energy_mae=None,
            seconds=0.0,
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))

    inputs = {
        "source": copied.inputs["source"]
        if copied is not None and is_gone
        else hashlib.sha256((place / "weights.safetensors").read_bytes()).hexdigest(),
        "model": Settings(config.model),
        "training": None,
        "elements": list(elements),
        "seed": config.seed,
    }
    PRETRAIN.run(campaign.pretrain, inputs, make)
    say(f"  the committee begins from the weights of {source.path}")
