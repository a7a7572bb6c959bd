"""Train a round's committee and score it on the frozen test set: one Prefect task each, done once.

A task hands paths on, not arrays: what it made is read from its folder, by the next step of the same
run and by a resumed run alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.record.folder import CampaignFolder
from flows.record.results import ErrorMetrics, UncertaintyMetrics
from flows.record.seeds import seed_for
from flows.record.stages import read_manifest, run_stage
from flows.views.console import say
from flows.views.progress import progress
from flows.views.summary import duration
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.dataset import Dataset
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.package import load_potential, save_potential
from potential.training.train import train_committee


class TrainingSummary(Config):
    """What a training says of itself; `fingerprint` is the dataset's, before it was split.

    `backend` names how the model ran (None in folders of older versions).
    """

    n_train: int
    n_validation: int
    epochs: int
    seconds: float
    fingerprint: str
    backend: str | None = None


class EvaluationSummary(Config):
    """Errors and uncertainty on the frozen test set."""

    test: ErrorMetrics
    uncertainty: UncertaintyMetrics
    fingerprint: str


@task(
    name="train",
    task_run_name="train round {number}",
    tags=["train"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def train(
    campaign: CampaignFolder,
    number: int,
    dataset: Dataset,
    elements: Sequence[int],
    isolated_atom_energies: Mapping[int, float] | None = None,
) -> TrainingSummary:
    """Train the committee on all labels but the held-out ones; a killed training goes on."""
    config, folder = campaign.config, campaign.round(number).train
    n_held_out = round(config.training.validation_fraction * len(dataset))
    learned, held_out = dataset.split(n_held_out, seed=seed_for(config.seed, "split", number))
    previous = campaign.round(number - 1).potential
    warm_start = config.training.warm_start and number > 0
    inputs = {
        "model": config.model.model_dump(mode="json"),
        "training": config.training.model_dump(mode="json", exclude={"device", "checkpoint_every_epochs"}),
        "data": {"labels": len(dataset), "fingerprint": dataset.fingerprint},
        "elements": list(elements),
        "warm_start": weights_digest(previous) if warm_start else None,
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        description = f"round {number}: training"
        with progress(f"{config.name}-training", description, 100, "%", own_bar=True) as done:
            trained = train_committee(
                learned,
                held_out,
                model=config.model,
                training=config.training,
                seed=seed_for(config.seed, "train", number),
                folder=into,
                numbers=elements,
                warm_start=load_potential(previous) if warm_start else None,
                isolated_atom_energies=isolated_atom_energies,
                on_epoch=lambda record: done(round(100 * record.fraction)),
                description=f"  {description}",
            )
        history = pd.DataFrame([dataclasses.asdict(record) for record in trained.history])
        history.to_csv(into / "history.csv", index=False)
        card = {"name": f"{config.name}, round {number}", "backend": trained.backend}
        save_potential(into / "potential", trained.model, card)
        summary = TrainingSummary(
            n_train=len(learned),
            n_validation=len(held_out),
            epochs=len(trained.history),
            seconds=trained.seconds,
            fingerprint=dataset.fingerprint,
            backend=trained.backend,
        )
        write_atomically(into / "summary.json", summary.model_dump_json(indent=2))
        for checkpoint in into.glob("checkpoint*"):  # as large as three models, and of no more use
            checkpoint.unlink()

    run_stage(folder, inputs, make, keep_partial=True)
    summary = TrainingSummary.model_validate_json((folder / "summary.json").read_text())
    say(
        f"  training on {summary.n_train} frames, {summary.n_validation} held out: "
        f"{summary.epochs} epochs in {duration(summary.seconds)}"
    )
    return summary


@task(
    name="evaluate",
    task_run_name="evaluate round {number}",
    tags=["evaluate"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def evaluate_on_test(campaign: CampaignFolder, number: int, test: Dataset) -> EvaluationSummary:
    """Errors of the round's committee on the frozen test set."""
    round_folder = campaign.round(number)
    inputs = {"potential": weights_digest(round_folder.potential), "test": test.fingerprint}

    def make(into: Path) -> None:
        found = evaluate(load_committee(campaign, number), test)
        found.atoms.to_csv(into / "test_atoms.csv", index=False)
        found.frames.to_csv(into / "test_frames.csv", index=False)
        summary = EvaluationSummary(
            test=ErrorMetrics(**{name: getattr(found, name) for name in ErrorMetrics.model_fields}),
            uncertainty=UncertaintyMetrics(
                mean_force_disagreement=found.atoms["force_disagreement"].mean(),
                max_force_disagreement=found.atoms["force_disagreement"].max(),
                spearman=found.spearman,
            ),
            fingerprint=test.fingerprint,
        )
        write_atomically(into / "metrics.json", summary.model_dump_json(indent=2))

    run_stage(round_folder.evaluate, inputs, make, redo_if_changed=True)
    summary = EvaluationSummary.model_validate_json((round_folder.evaluate / "metrics.json").read_text())
    say(
        f"  test: force MAE {1000 * summary.test.force_mae:.1f} meV/Å, "
        f"energy MAE {1000 * summary.test.energy_mae:.2f} meV/atom"
    )
    return summary


def load_committee(campaign: CampaignFolder, number: int) -> Evaluator:
    """The trained committee of a round."""
    device = campaign.config.training.device
    return Evaluator(load_potential(campaign.round(number).potential, device=device), device=device)


def weights_digest(potential: Path) -> str:
    """SHA-256 of the weights that a finished training left."""
    manifest = read_manifest(potential.parent)
    assert manifest is not None, f"{potential} belongs to a training that is not finished"
    return manifest.outputs["potential/weights.safetensors"]
