"""A training under way: the steps of each epoch, validation, the best weights, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from potential.backends.choose import choose_backend
from potential.data.dataset import Dataset
from potential.nequip.model import NequIP
from potential.nequip.precision import float32_products
from potential.training import schedule
from potential.training.batches import Loader
from potential.training.checkpoint import load_checkpoint, save_checkpoint
from potential.training.gradient import clip_each_member, losses_and_gradient
from potential.training.history import BAR, EpochRecord, postfix
from potential.training.loss import bootstrap_weights, errors
from potential.training.optimizers import optimizers_of
from potential.training.schedule import Progress
from potential.training.share import Share
from potential.training.training_config import TrainingConfig

DIVERGED = 1e6
"""Times the first epoch's loss, and the most that this may be itself: no training comes back from there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedCommittee:
    """A trained model, the history of its training and the seconds it took, earlier runs included.

    `backend` names what ran it.
    """

    model: NequIP
    history: list[EpochRecord]
    seconds: float
    backend: str


class Run:
    """One training run: a share of the members, optimiser, averaged weights and progress."""

    def __init__(
        self,
        whole: NequIP,
        train: Dataset,
        validation: Dataset,
        config: TrainingConfig,
        seed: int,
        checkpoint: Path,
        identity: str,
        share: Share,
    ) -> None:
        network = share.network(whole, config.devices[share.index])
        self.committee, self.share = whole, share
        self.network, self.config, self.seed = network, config, seed
        self.checkpoint, self.identity = checkpoint, identity
        self.loader = Loader(train, network)
        self.validation = Loader(validation, network) if len(validation) else None
        weights = bootstrap_weights(whole.members, len(train), config, seed=seed)
        self.weights = share.own({"": weights})[""].to(network.device, network.dtype)
        self.optimizers = optimizers_of(network, config)
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
        bar = tqdm(
            total=100,
            desc=description,
            unit="%",
            disable=None if self.share.is_first else True,
            bar_format=BAR,
        )
        while not schedule.finished(self.config, self.progress):
            with float32_products("tf32") if self.config.tf32 else nullcontext():
                record = self._epoch(started)
            self.history.append(record)
            schedule.watch_flatness(self.config, self.progress, self.history)
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
        self.committee.load_state_dict(self.share.whole(final))
        self.committee.to(self.network.device).eval()
        return TrainedCommittee(
            model=self.committee,
            history=self.history,
            seconds=self.progress.seconds,
            backend=self.backend.name,
        )

    def _epoch(self, started: float) -> EpochRecord:
        config, progress = self.config, self.progress
        # Read, and told the other processes, at the end of the epoch: a step must not wait for anything.
        losses, forces, references = [], [], []
        for batch in self.loader.shuffled(config.batch_size, seed=self.seed, epoch=progress.epoch):
            rate = schedule.learning_rate(config, progress)
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = rate
            self.network.zero_grad(set_to_none=True)
            weights = self.weights[:, batch.index]
            loss, prediction = losses_and_gradient(self.backend, batch, weights, config)
            if config.max_gradient_norm is not None:
                clip_each_member(self.network, config.max_gradient_norm)
            for optimizer in self.optimizers.values():
                optimizer.step()
            self.averaged.update_parameters(self.network)
            losses.append(loss)
            forces.append(prediction.forces.detach())
            references.append(batch.forces)
            progress.step += 1
            if progress.step == config.max_steps:
                break
        mean_loss = float(self.share.gather(torch.stack(losses, dim=1)).mean())
        mean_forces = self.share.gather(torch.cat(forces, dim=1)).mean(0)
        force_mae = float((mean_forces - torch.cat(references).to(mean_forces.device)).abs().double().mean())
        progress.epoch += 1
        clock = torch.tensor([time.perf_counter() - started], dtype=torch.float64)
        progress.seconds = float(self.share.gather(clock)[0])  # all follow the first one's
        first = self.history[0].train_loss if self.history else mean_loss
        if not mean_loss < DIVERGED * min(max(first, 1.0), DIVERGED):  # nor is NaN
            raise FloatingPointError(
                f"the loss is {mean_loss:.3g} in epoch {progress.epoch}, it was {first:.3g} in the first; "
                f"lower learning_rate (now {config.learning_rate}), or set max_gradient_norm"
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
        found = errors(self.validating, self.validation, self.config.batch_size, self.share.gather)
        if found.force_mae < self.progress.best_validation:
            self.progress.best_validation, self.progress.best_epoch = found.force_mae, self.progress.epoch
            self.best = {k: v.clone() for k, v in self._average.state_dict().items()}
        return found

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for name, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{i}.{k}": v for k, v in state.items()}
        return tensors

    def _save(self) -> None:
        tensors = self.share.whole(self._tensors())
        if not self.share.is_first:
            return
        facts = {
            "identity": self.identity,
            "progress": asdict(self.progress),
            "history": [asdict(record) for record in self.history],
        }
        save_checkpoint(self.checkpoint, tensors, facts)

    def _restore(self) -> None:
        found = load_checkpoint(self.checkpoint, self.identity)
        if found is None:
            return
        tensors, facts = self.share.own(found[0]), found[1]
        self.network.load_state_dict(_under("model.", tensors))
        self.averaged.load_state_dict(_under("averaged.", tensors))
        self.best = _under("best.", tensors)
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(f"{name}.", tensors).items():
                index, what = key.split(".", 1)
                state.setdefault(int(index), {})[what] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.progress = Progress(**facts["progress"])
        self.history = [EpochRecord(**record) for record in facts["history"]]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
