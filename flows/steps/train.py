"""Train a round's committee and score it on the frozen test set: one Prefect task each, done once.

A task hands paths on, not arrays: what it made is read from its folder, by the next step of the same
run and by a resumed run alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from flows.jobs.job import compute
from flows.jobs.training import RoundTraining
from flows.record.folder import CampaignFolder
from flows.record.results import (
    SUMMARY_FILE,
    ErrorMetrics,
    EvaluationSummary,
    TrainingSummary,
    UncertaintyMetrics,
)
from flows.record.rounds import RoundFolder
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.stages import Stage, is_intact, read_manifest
from flows.record.table import EVALUATE, EVALUATE_BROAD, TRAIN
from flows.steps.step import step
from flows.views.console import say
from flows.views.duration import duration
from flows.views.forecast import saved_by_ending_early
from flows.views.progress import progress
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.role import role_of
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.metrics import METRICS, intervals
from potential.package import load_potential
from potential.roles import Roles
from potential.training.device import device_or_cpu
from potential.training.training_config import NOT_OF_THE_RESULT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What every training of a campaign may begin from.

    Attributes:
        potential: its folder.
        elements: atomic numbers that it knows.
        fine_tuning_rate: the learning rate that takes its weights further.
    """

    potential: Path
    elements: tuple[int, ...]
    fine_tuning_rate: float


@step("train", "train {here}")
def train(
    campaign: CampaignFolder,
    here: RoundFolder,
    dataset: Dataset,
    elements: Sequence[int],
    isolated_atom_energies: Mapping[int, float] | None = None,
    pretrained: Pretrained | None = None,
) -> TrainingSummary:
    """Train the committee on all labels but the held-out ones; a killed training goes on.

    It begins from the weights of the round before it if `training.warm_start` says so, else from the
    pretrained ones if there are any, else from random ones.
    """
    config, number, training = campaign.config, here.number, campaign.at(here.number).training
    begin_from = None if pretrained is None else pretrained.potential
    if pretrained is not None:
        training = training.model_copy(update={"learning_rate": pretrained.fine_tuning_rate})
        elements = pretrained.elements
    if training.warm_start and number > 0:
        begin_from = here.previous.potential
    learned, held_out = learned_and_held_out(campaign, here, dataset)
    inputs = {
        "model": Settings(config.model),
        "training": Settings(training, NOT_OF_THE_RESULT),
        "data": {"labels": len(dataset), "fingerprint": dataset.fingerprint},
        "elements": list(elements),
        "warm_start": None if begin_from is None else weights_digest(begin_from),
        "seed": config.seed,
    }

    work = RoundTraining(
        learned=learned,
        held_out=held_out,
        model=config.model,
        training=training,
        elements=tuple(elements),
        seed=seed_for(config.seed, "train", number),
        begin_from=begin_from,
        isolated_atom_energies=isolated_atom_energies,
        fingerprint=dataset.fingerprint,
        card={"name": f"{config.name}, {here}"},
        title=f"{here}: training",
    )

    def make(into: Path) -> None:
        with progress(f"{config.name}-training", work.title, 100, "%", own_bar=True) as done:
            compute(work, into, done, engine=config.labeling.engine, kind="training", campaign=campaign.path)

    TRAIN.run(here.train, inputs, make)
    summary = TrainingSummary.model_validate_json((here.train / SUMMARY_FILE).read_text())
    say(
        f"  training on {summary.n_train} frames, {summary.n_validation} held out: "
        f"{summary.epochs} epochs in {duration(summary.seconds)}{saved_by_ending_early(training, summary)}"
    )
    return summary


@step("evaluate", "evaluate {here}")
def evaluate_on_test(campaign: CampaignFolder, here: RoundFolder, test: Dataset) -> EvaluationSummary:
    """Errors of the round's committee on the frozen test set."""
    return _evaluated(campaign, here, EVALUATE, here.evaluate, test)


@step("evaluate broad", "evaluate {here} broadly")
def evaluate_on_broad(campaign: CampaignFolder, here: RoundFolder, test: Dataset) -> EvaluationSummary:
    """Errors of the round's committee on the second frozen test set, which lies farther out."""
    return _evaluated(campaign, here, EVALUATE_BROAD, here.evaluate_broad, test)


def _evaluated(
    campaign: CampaignFolder, here: RoundFolder, stage: Stage, folder: Path, test: Dataset
) -> EvaluationSummary:
    inputs = {"potential": weights_digest(here.potential), "test": test.fingerprint}

    def make(into: Path) -> None:
        found = evaluate(load_committee(campaign, here), test)
        found.atoms.to_csv(into / here.test_atoms.name, index=False)
        found.frames.to_csv(into / here.test_errors.name, index=False)
        summary = EvaluationSummary(
            test=ErrorMetrics(**{name: getattr(found, name) for name in ErrorMetrics.model_fields}),
            uncertainty=UncertaintyMetrics(
                mean_force_disagreement=found.atoms["force_disagreement"].mean(),
                max_force_disagreement=found.atoms["force_disagreement"].max(),
                spearman=found.spearman,
            ),
            fingerprint=test.fingerprint,
            more={m.name: value for m in METRICS if (value := m.of(found)) is not None},
            intervals=intervals(found),
        )
        write_atomically(into / "metrics.json", summary.model_dump_json(indent=2))

    stage.run(folder, inputs, make)
    summary = EvaluationSummary.model_validate_json((folder / "metrics.json").read_text())
    level = summary.more.get("energy_mae_without_offset")
    say(
        f"  {'test' if stage is EVALUATE else 'broad test'}: "
        f"force MAE {1000 * summary.test.force_mae:.1f} meV/Å, "
        f"energy MAE {1000 * summary.test.energy_mae:.2f} meV/atom"
        + ("" if level is None else f", {1000 * level:.2f} without its mean error")
    )
    return summary


def learned_and_held_out(
    campaign: CampaignFolder, here: RoundFolder, dataset: Dataset
) -> tuple[Dataset, Dataset]:
    """The labels that a round's committee is trained on, and those that only choose its best epoch.

    What is held out has never been learned from: it was held out by the round before, or is new. So all
    rounds so far can be compared on it. Rounds of versions that kept no `Roles` drew anew every time.
    """
    finished = is_intact(here.train)  # one that lacks a file is made anew, from the same labels
    done = Roles.load(here.potential) if finished else None
    if done is not None:
        return _parted(dataset, set(done.ids("held_out")))
    fraction, seed = campaign.at(here.number).training.validation_fraction, campaign.config.seed
    n_held_out = min(round(fraction * len(dataset)), len(dataset) - 1)
    drawn = seed_for(seed, "split", here.number)
    if finished:
        return dataset.split(n_held_out, seed=drawn)
    before = Roles.load(here.previous.potential) if here.number > 0 else None
    if before is None:  # a file that the frames come from may say what was held out so far
        still = [frame.id for frame in dataset.frames if role_of(frame) == "held_out"]
        new = [frame.id for frame in dataset.frames if role_of(frame) != "held_out"]
    else:
        still = [frame.id for frame in dataset.frames if before.of.get(frame.id) == "held_out"]
        new = [frame.id for frame in dataset.frames if frame.id not in before.of]
    order = np.random.default_rng(drawn).permutation(len(new))
    return _parted(dataset, set([*still, *(new[i] for i in order)][:n_held_out]))


def _parted(dataset: Dataset, held_out: set[str]) -> tuple[Dataset, Dataset]:
    return (
        Dataset.of(item for item in dataset if item.frame.id not in held_out),
        Dataset.of(item for item in dataset if item.frame.id in held_out),
    )


def load_committee(campaign: CampaignFolder, here: RoundFolder) -> Evaluator:
    """The trained committee of a round."""
    device = device_or_cpu(campaign.config.training.device)  # a GPU may be where trainings are jobs
    return Evaluator(load_potential(here.potential, device=device), device=device)


def weights_digest(potential: Path) -> str:
    """SHA-256 of the weights that a finished training left."""
    manifest = read_manifest(potential.parent)
    assert manifest is not None, f"{potential} belongs to a training that is not finished"
    return manifest.outputs["potential/weights.safetensors"]
