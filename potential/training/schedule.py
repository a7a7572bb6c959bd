"""When training ends, and the course of the learning rate until then."""

from __future__ import annotations

import math
from dataclasses import dataclass

from potential.training.training_config import TrainingConfig

WARM_UP_STEPS = 50


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


def fraction_done(config: TrainingConfig, progress: Progress) -> float:
    """How much of training is done, by the limit that is nearest; 1 or more at the end."""
    done = [progress.epoch / config.max_epochs]
    if config.max_steps is not None:
        done.append(progress.step / config.max_steps)
    if config.max_seconds is not None:
        done.append(progress.seconds / config.max_seconds)
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
