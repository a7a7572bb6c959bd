"""Training of a committee: all members at once, resumable at any epoch."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from potential.backends.choose import choose_backend
from potential.data.charge_states import refuse_mixed_charges
from potential.data.dataset import Dataset
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.nequip.precision import float32_products
from potential.training import schedule, statistics
from potential.training.batches import Loader
from potential.training.checkpoint import load_checkpoint, save_checkpoint
from potential.training.gradient import clip_each_member, losses_and_gradient
from potential.training.history import BAR, EpochRecord, postfix
from potential.training.loss import bootstrap_weights, errors
from potential.training.schedule import Progress
from potential.training.training_config import TrainingConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedCommittee:
    """A trained model, the history of its training and the seconds it took, earlier runs included.

    `backend` names what ran it.
    """

    model: NequIP
    history: list[EpochRecord]
    seconds: float
    backend: str


def train_committee(
    train: Dataset,
    validation: Dataset,
    *,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    folder: Path,
    numbers: Sequence[int] | None = None,
    warm_start: NequIP | None = None,
    isolated_atom_energies: Mapping[int, float] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    description: str = "training",
) -> TrainedCommittee:
    """Train a committee on `train`; keep the epoch that is best on `validation` (the last if empty).

    Checkpoints go to `folder` every `checkpoint_every_epochs`; called again with the same arguments
    after an interruption, training goes on from the last one to the same result (bit for bit on the
    same machine and number of threads, unless `max_seconds` is what ends it).

    Args:
        numbers: elements the model must know; those of the frames if not given.
        warm_start: a model whose weights to begin from (same architecture and elements).

    Raises:
        ValueError: without training frames, for a warm start of another architecture, and for frames
            that cannot teach what is asked for: two charges of one composition, a stress weight
            without stresses, no neighbours within r_max.
        FloatingPointError: if the loss is not finite.
    """
    if len(train) == 0:
        raise ValueError("cannot train on no frames; label some first")
    if not training.mixed_charges:
        refuse_mixed_charges(train.frames + validation.frames)
    if training.stress_weight > 0 and all(label.stress is None for label in train.labels):
        raise ValueError(
            f"stress_weight is {training.stress_weight:g}, but no label has a stress; write "
            "stress_weight: 0, or give labels of crystals with `stress` or `virial` (--stress names it)"
        )
    known = sorted({int(z) for f in train.frames + validation.frames for z in f.numbers} | set(numbers or ()))
    network = NequIP(
        model,
        known,
        seed=seed,
        avg_num_neighbors=statistics.average_number_of_neighbors(train.frames, model.r_max),
        energy_scales=statistics.energy_scales(train, known, training.energy_scales),
        energy_shifts=statistics.energy_shifts(train, known, isolated_atom_energies),
        dtype=torch.float64 if training.dtype == "float64" else torch.float32,
    ).to(training.device)
    if warm_start is not None:
        copy_weights(warm_start, network)
    identity = _identity(train, validation, known, model, training, seed, warm_start, isolated_atom_energies)
    run = _Run(network, train, validation, training, seed, folder / "checkpoint", identity)
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


class _Run:
    """One training run: model, optimiser, averaged weights and progress."""

    def __init__(
        self,
        network: NequIP,
        train: Dataset,
        validation: Dataset,
        config: TrainingConfig,
        seed: int,
        checkpoint: Path,
        identity: str,
    ) -> None:
        self.network, self.config, self.seed = network, config, seed
        self.checkpoint, self.identity = checkpoint, identity
        self.loader = Loader(train, network)
        self.validation = Loader(validation, network) if len(validation) else None
        weights = bootstrap_weights(network.members, len(train), config, seed=seed)
        self.weights = weights.to(network.device, network.dtype)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
        average = get_ema_multi_avg_fn(config.ema_decay)
        self.averaged = AveragedModel(network, multi_avg_fn=average)
        self.backend = choose_backend(network, training=True)
        self.validating = None if self.validation is None else choose_backend(self._average)
        self.best = {k: v.clone() for k, v in network.state_dict().items()}
        self.progress = Progress()
        self.history: list[EpochRecord] = []

    @property
    def _average(self) -> NequIP:
        """The model with the averaged weights."""
        return cast(NequIP, self.averaged.module)

    def until_done(
        self, on_epoch: Callable[[EpochRecord], None] | None, description: str
    ) -> TrainedCommittee:
        self._restore()
        saved_epoch, started = self.progress.epoch, time.perf_counter() - self.progress.seconds
        bar = tqdm(total=100, desc=description, unit="%", disable=None, bar_format=BAR)
        while not schedule.finished(self.config, self.progress):
            with float32_products("tf32") if self.config.tf32 else nullcontext():
                record = self._epoch(started)
            self.history.append(record)
            if on_epoch is not None:
                on_epoch(record)
            bar.n = round(100 * record.fraction, 1)
            bar.set_postfix_str(postfix(record), refresh=False)
            bar.update(0)
            if self.progress.epoch - saved_epoch >= self.config.checkpoint_every_epochs:
                self._save()
                saved_epoch = self.progress.epoch
        bar.close()
        if self.progress.epoch > saved_epoch:
            self._save()
        final = self.best if self.validation is not None else self._average.state_dict()
        self.network.load_state_dict(final)
        self.network.eval()
        return TrainedCommittee(
            model=self.network,
            history=self.history,
            seconds=self.progress.seconds,
            backend=self.backend.name,
        )

    def _epoch(self, started: float) -> EpochRecord:
        config, progress = self.config, self.progress
        losses, components = [], 0
        # Read once, at the end of the epoch: a step must not make the device wait for the host.
        absolute = torch.zeros((), dtype=torch.float64, device=self.network.device)
        for batch in self.loader.shuffled(config.batch_size, seed=self.seed, epoch=progress.epoch):
            rate = schedule.learning_rate(config, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad(set_to_none=True)
            weights = self.weights[:, batch.index]
            loss, prediction = losses_and_gradient(self.backend, batch, weights, config)
            if config.max_gradient_norm is not None:
                clip_each_member(self.network, config.max_gradient_norm)
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
            losses.append(loss.mean())
            absolute = absolute + (prediction.forces.detach().mean(0) - batch.forces).abs().sum()
            components += batch.forces.numel()
            progress.step += 1
        mean_loss = sum(torch.stack(losses).tolist()) / len(losses)
        force_mae = float(absolute) / components
        progress.epoch += 1
        progress.seconds = time.perf_counter() - started
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"the loss is {mean_loss} in epoch {progress.epoch}; lower learning_rate "
                f"(now {config.learning_rate}), or set max_gradient_norm"
            )
        validation = self._validate()
        schedule.watch_plateau(config, progress, mean_loss)
        return EpochRecord(
            epoch=progress.epoch,
            fraction=min(schedule.fraction_done(config, progress), 1.0),
            step=progress.step,
            seconds=progress.seconds,
            learning_rate=rate,
            train_loss=mean_loss,
            train_force_mae=force_mae,
            validation_force_mae=None if validation is None else validation[0],
            validation_energy_mae_per_atom=None if validation is None else validation[1],
        )

    def _validate(self) -> tuple[float, float] | None:
        due = self.progress.epoch % self.config.validate_every_epochs == 0 or schedule.finished(
            self.config, self.progress
        )
        if self.validation is None or self.validating is None or not due:
            return None
        found = errors(self.validating, self.validation, self.config.batch_size)
        if found.force_mae < self.progress.best_validation:
            self.progress.best_validation, self.progress.best_epoch = found.force_mae, self.progress.epoch
            self.best = {k: v.clone() for k, v in self._average.state_dict().items()}
        return found

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        return tensors

    def _save(self) -> None:
        facts = {
            "identity": self.identity,
            "progress": asdict(self.progress),
            "history": [asdict(record) for record in self.history],
        }
        save_checkpoint(self.checkpoint, self._tensors(), facts)

    def _restore(self) -> None:
        found = load_checkpoint(self.checkpoint, self.identity)
        if found is None:
            return
        tensors, facts = found
        self.network.load_state_dict(_under("model.", tensors))
        self.averaged.load_state_dict(_under("averaged.", tensors))
        self.best = _under("best.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("adam.", tensors).items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.progress = Progress(**facts["progress"])
        self.history = [EpochRecord(**record) for record in facts["history"]]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


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
    settings = training.model_dump(exclude={"checkpoint_every_epochs", "device", "mixed_charges"})
    parts = [
        [item.frame.id for item in train],
        train.fingerprint,
        validation.fingerprint,
        list(numbers),
        model.model_dump(),
        settings,
        seed,
        None if warm_start is None else [float(p.detach().double().sum()) for p in warm_start.parameters()],
        None if isolated_atom_energies is None else sorted(isolated_atom_energies.items()),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
