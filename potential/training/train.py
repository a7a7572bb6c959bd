"""Training of a committee: all members at once, resumable at any epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from potential.data.dataset import Dataset
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.training import statistics
from potential.training.history import EpochRecord
from potential.training.run import Run, TrainedCommittee
from potential.training.share import Share, team
from potential.training.training_config import NOT_OF_THE_RESULT, TrainingConfig
from potential.training.unteachable import refuse_unteachable_labels


def train_committee(
    train: Dataset,
    validation: Dataset,
    *,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    folder: str | Path,
    numbers: Sequence[int] | None = None,
    warm_start: NequIP | None = None,
    isolated_atom_energies: Mapping[int, float] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    description: str = "training",
    share: Share | None = None,
) -> TrainedCommittee:
    """Train a committee on `train`; keep the epoch that is best on `validation` (the last if empty).

    Checkpoints go to `folder` every `checkpoint_every_epochs`; called again with the same arguments
    after an interruption, training goes on from the last one to the same result (bit for bit on the
    same machine and number of threads, unless `max_seconds` is what ends it).

    Args:
        numbers: elements the model must know; those of the frames if not given.
        warm_start: a model whose weights to begin from (same architecture and elements).
        share: the members that are this process's part, in one of several (`training.processes`), all of
            which are called with the same arguments. Only the first gives the whole committee.

    Raises:
        ValueError: without training frames, for a warm start of another architecture, and for frames
            that cannot teach what is asked for: two charges of one composition, a stress weight
            without stresses, no neighbours within r_max.
        FloatingPointError: if the loss is not finite.
    """
    processes = min(training.processes, model.committee_size)
    if share is None and processes > 1:
        what: dict[str, Any] = {
            "train": train,
            "validation": validation,
            "model": model,
            "training": training,
            "seed": seed,
            "folder": folder,
            "numbers": numbers,
            "warm_start": warm_start,
            "isolated_atom_energies": isolated_atom_energies,
        }
        with team(processes, what) as first:
            return train_committee(**what, on_epoch=on_epoch, description=description, share=first)
    refuse_unteachable_labels(train, model, training, seen_with=validation.frames)
    known = sorted({int(z) for f in train.frames + validation.frames for z in f.numbers} | set(numbers or ()))
    whole = NequIP(
        model,
        known,
        seed=seed,
        avg_num_neighbors=statistics.average_number_of_neighbors(train.frames, model.r_max),
        energy_scales=statistics.energy_scales(train, known, training.energy_scales),
        energy_shifts=statistics.energy_shifts(train, known, isolated_atom_energies),
        dtype=torch.float64 if training.dtype == "float64" else torch.float32,
    )
    if warm_start is not None:
        copy_weights(warm_start, whole)
    identity = _identity(train, validation, known, model, training, seed, warm_start, isolated_atom_energies)
    run = Run(
        whole, train, validation, training, seed, Path(folder) / "checkpoint", identity, share or Share()
    )
    return run.until_done(on_epoch, description)


def copy_weights(source: NequIP, target: NequIP) -> None:
    """Copy the trained weights, leaving the target's scales and shifts.

    Raises:
        ValueError: if the two models differ in architecture or elements.
    """
    if source.config != target.config or source.numbers.tolist() != target.numbers.tolist():
        raise ValueError(
            "warm start needs the same architecture and elements: "
            f"{source.config} with Z = {source.numbers.tolist()} against "
            f"{target.config} with Z = {target.numbers.tolist()}; set warm_start: false"
        )
    with torch.no_grad():
        for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
            ours.copy_(theirs)


def _identity(
    train: Dataset,
    validation: Dataset,
    numbers: Sequence[int],
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    warm_start: NequIP | None,
    isolated_atom_energies: Mapping[int, float] | None,
) -> str:
    """Hash of all that determines the result; limits may be raised and training goes on."""
    settings = training.model_dump(exclude=set(NOT_OF_THE_RESULT))
    parts = [
        [item.frame.id for item in train],
        train.fingerprint,
        validation.fingerprint,
        list(numbers),
        # Trainings that an older version began know of no correlation, and go on.
        model.model_dump(exclude={"correlation"} if model.correlation == 1 else None),
        settings,
        seed,
        None if warm_start is None else [float(p.detach().double().sum()) for p in warm_start.parameters()],
        None if isolated_atom_energies is None else sorted(isolated_atom_energies.items()),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
