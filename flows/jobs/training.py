"""What the trainings compute: a round's, and the one on a teacher's labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from flows.jobs.job import Done
from flows.record.pretraining_results import PretrainSummary
from flows.record.results import SUMMARY_FILE, TrainingSummary
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.known_environments import KnownEnvironments
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential, save_potential
from potential.roles import Roles
from potential.training.run import TrainedCommittee
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommitteeTraining:
    """A committee's training; one that was killed goes on from its last checkpoint.

    Attributes:
        learned: labels to train on.
        elements: atomic numbers that the potential must know.
        seed: of this training.
        card: what the potential's card shall say first.
        title: what people read.
    """

    learned: Dataset
    model: ModelConfig
    training: TrainingConfig
    elements: tuple[int, ...]
    seed: int
    card: Mapping[str, Any]
    title: str

    def train(self, into: Path, done: Done, held_out: Dataset, **more: Any) -> TrainedCommittee:
        """Train, and leave history and potential in the folder.

        Args:
            held_out: labels that choose the best epoch.
            more: to `train_committee`.
        """
        trained = train_committee(
            self.learned,
            held_out,
            model=self.model,
            training=self.training,
            seed=self.seed,
            folder=into,
            numbers=self.elements,
            on_epoch=lambda record: done(round(100 * record.fraction)),
            description=f"  {self.title}",
            **more,
        )
        history = pd.DataFrame([dataclasses.asdict(record) for record in trained.history])
        history.to_csv(into / "history.csv", index=False)
        save_potential(into / "potential", trained.model, {**self.card, "backend": trained.backend})
        return trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoundTraining(CommitteeTraining):
    """The training of a round.

    Attributes:
        held_out: labels that choose the best epoch.
        begin_from: folder of the potential whose weights it begins from; None: random ones.
        isolated_atom_energies: eV, by atomic number; None: energies are shifted by a fit.
        fingerprint: of all labels of the round.
    """

    held_out: Dataset
    begin_from: Path | None
    isolated_atom_energies: Mapping[int, float] | None
    fingerprint: str

    def __call__(self, into: Path, done: Done) -> None:
        trained = self.train(
            into,
            done,
            self.held_out,
            warm_start=None if self.begin_from is None else load_potential(self.begin_from),
            isolated_atom_energies=self.isolated_atom_energies,
        )
        KnownEnvironments.of(self.learned.frames).save(into / "potential")
        roles = Roles.made(train=_ids(self.learned), held_out=_ids(self.held_out))
        roles.save(into / "potential")
        summary = TrainingSummary(
            n_train=len(self.learned),
            n_validation=len(self.held_out),
            epochs=len(trained.history),
            seconds=trained.seconds,
            fingerprint=self.fingerprint,
            backend=trained.backend,
        )
        _finish(into, summary)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeachersTraining(CommitteeTraining):
    """The training on a teacher's labels.

    Attributes:
        held_out: labels that measure it.
        source: the teacher's name.
    """

    held_out: Dataset
    source: str

    def __call__(self, into: Path, done: Done) -> None:
        trained = self.train(into, done, Dataset.of([]))
        found = evaluate(Evaluator(trained.model), self.held_out)
        summary = PretrainSummary(
            source=self.source,
            n_train=len(self.learned),
            n_held_out=len(self.held_out),
            steps=trained.history[-1].step,
            force_mae=found.force_mae,
            energy_mae=found.energy_mae,
            seconds=trained.seconds,
        )
        _finish(into, summary)


def _ids(dataset: Dataset) -> list[str]:
    return [frame.id for frame in dataset.frames]


def _finish(into: Path, summary: TrainingSummary | PretrainSummary) -> None:
    write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))
    for checkpoint in into.glob("checkpoint*"):  # as large as three models, and of no more use
        checkpoint.unlink()
