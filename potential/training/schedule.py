"""When training ends, and the course of the learning rate until then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from potential.training.history import EpochRecord
from potential.training.training_config import TrainingConfig

WARM_UP_STEPS = 50
DECAY = 0.25
"""Steps of the decay that ends `until_flat`, as a share of the steps before it."""
FLAT_GAIN = 0.02
FLAT_SHARE = 1 / 3
"""The validation is flat when the last third of the steps made it better by less than 2 %."""
STEPS_BEFORE_FLAT = 300
"""Fewer say nothing: the averaged weights follow behind."""


@dataclass
class Progress:
    """Where training stands; all of it is in the checkpoint."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_validation: float = math.inf
    best_epoch: int = 0
    lowest_loss: float = math.inf
    lowest_loss_epoch: int = 0
    rate_factor: float = 1.0
    decay_from: int = 0


def fraction_done(config: TrainingConfig, progress: Progress) -> float:
    """How much of training is done, by the limit that is nearest; 1 or more at the end."""
    done = [progress.epoch / config.max_epochs]
    if config.max_steps is not None:
        done.append(progress.step / config.max_steps)
    if config.max_seconds is not None:
        done.append(progress.seconds / config.max_seconds)
    if progress.decay_from:
        done.append(progress.step / ((1 + DECAY) * progress.decay_from))
    return max(done)


def finished(config: TrainingConfig, progress: Progress) -> bool:
    """At a limit, or without a better validation for `early_stop_patience_epochs`."""
    patience = config.early_stop_patience_epochs
    validated = math.isfinite(progress.best_validation)
    stale = progress.epoch - progress.best_epoch
    stopped_early = patience is not None and validated and stale >= patience
    return fraction_done(config, progress) >= 1.0 or stopped_early


def learning_rate(config: TrainingConfig, progress: Progress) -> float:
    """The rate of the next step: linear warm-up, then the schedule."""
    rate = config.learning_rate * min(1.0, (progress.step + 1) / WARM_UP_STEPS)
    if config.schedule == "cosine":
        rate *= 0.5 * (1.0 + math.cos(math.pi * min(fraction_done(config, progress), 1.0)))
    if progress.decay_from:
        decayed = (progress.step - progress.decay_from) / (DECAY * progress.decay_from)
        rate *= max(1.0 - decayed, 0.0)
    return rate * progress.rate_factor


def watch_plateau(config: TrainingConfig, progress: Progress, loss: float) -> None:
    """Halve the rate after `plateau_patience_epochs` epochs without a lower loss."""
    if config.schedule != "plateau":
        return
    if loss < progress.lowest_loss:
        progress.lowest_loss, progress.lowest_loss_epoch = loss, progress.epoch
    elif progress.epoch - progress.lowest_loss_epoch >= config.plateau_patience_epochs:
        progress.rate_factor *= 0.5
        progress.lowest_loss_epoch = progress.epoch


def watch_flatness(config: TrainingConfig, progress: Progress, history: Sequence[EpochRecord]) -> None:
    """Begin the decay once the validation is flat, or in time to end it at the limit."""
    if config.schedule != "until_flat" or progress.decay_from:
        return
    if is_flat(history) or fraction_done(config, progress) >= 1 / (1 + DECAY):
        progress.decay_from = progress.step


def is_flat(history: Sequence[EpochRecord]) -> bool:
    """Whether the last third of the steps so far brought next to nothing, by the best validations."""
    errors = [(r.step, r.validation_force_mae) for r in history if r.validation_force_mae is not None]
    if not errors or errors[-1][0] < STEPS_BEFORE_FLAT:
        return False
    early = [error for step, error in errors if step <= (1 - FLAT_SHARE) * errors[-1][0]]
    return bool(early) and min(error for _, error in errors) > (1 - FLAT_GAIN) * min(early)
