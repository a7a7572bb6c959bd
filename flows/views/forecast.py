"""How long a campaign will still take, from what its parts took so far or in a trial.

    t = sum over rounds that are left of  [steps(n) t_step + t_explore + frames_per_round t_label / at_once]

| symbol | here |
|---|---|
| n | labels of the round, `labels_of` |
| steps(n) | gradient steps of a training on them, `gradient_steps` |
| t_step, t_label, t_explore | `Pace`: wall seconds, but t_label is of computing |
| at_once | labels that are computed at once |

All of it is the most that the settings allow: a campaign that stops early, or selects less, takes less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult, TrainingSummary
from flows.record.rounds import OUTCOMES_FILE, Arm, read_outcomes
from flows.record.stages import is_finished
from flows.settings.campaign_config import CampaignConfig
from flows.views.duration import duration
from potential.training.training_config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds: of computing for a label, of wall time for a gradient step and for an exploration."""

    label_s: float
    step_s: float
    exploration_s: float


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is still to be done, and how many wall seconds each part will take at most."""

    labels: int
    steps: int
    explorations: int
    labelling_s: float
    training_s: float
    exploring_s: float

    @property
    def seconds(self) -> float:
        return self.labelling_s + self.training_s + self.exploring_s


def labels_of(config: CampaignConfig, arm: Arm, number: int) -> int:
    """Labels that a round learns from, if all before it found as many as they may."""
    return config.initial.frames + number * arm.selection.frames_per_round


def gradient_steps(training: TrainingConfig, n_labels: int) -> int:
    """Of a training on so many labels; `max_seconds` and early stopping not counted."""
    n_train = n_labels - round(training.validation_fraction * n_labels)
    steps = training.max_epochs * math.ceil(n_train / training.batch_size)
    return steps if training.max_steps is None else min(steps, training.max_steps)


def left(folder: CampaignFolder, pace: Pace) -> Left:
    """Of the stages that are not finished, in all arms; pretraining and the making of frames not counted."""
    config = folder.config
    labels = steps = explorations = 0
    training_s = 0.0
    if not is_finished(folder.first_labels):
        labels += config.initial.frames + config.test.frames
    if config.test_broad is not None and not is_finished(folder.broad_labels):
        labels += config.test_broad.frames
    stages = {arm.round(n).train: (arm, n) for arm in folder.arms for n in range(config.rounds + 1)}
    for train, (arm, number) in stages.items():
        here = arm.round(number)
        if not is_finished(train):
            asked = gradient_steps(config.training, labels_of(config, arm, number))
            steps += asked
            most = config.training.max_seconds
            training_s += asked * pace.step_s if most is None else min(most, asked * pace.step_s)
        if number < config.rounds:
            explorations += not is_finished(here.explore)
            labels += 0 if is_finished(here.label) else arm.selection.frames_per_round
    return Left(
        labels=labels,
        steps=steps,
        explorations=explorations,
        labelling_s=labels * pace.label_s / config.labeling.workers_here,
        training_s=training_s,
        exploring_s=explorations * pace.exploration_s,
    )


def pace_of(folder: CampaignFolder) -> Pace | None:
    """As the campaign went so far; None before its first round is finished."""
    results = folder.results()
    trained = [r for r in results if r.training.seconds > 0]
    if not trained:
        return None
    last = trained[-1]
    explored = [r.explore_seconds for r in results if r.explore_seconds is not None]
    return Pace(
        label_s=_label_seconds(folder, results),
        step_s=last.training.seconds / max(1, steps_taken(folder.config.training, last.training)),
        exploration_s=explored[-1] if explored else 0.0,
    )


def time_left(folder: CampaignFolder) -> str | None:
    """`about 12 min 30 s are left`; None before the first round is finished, or where nothing is left."""
    if is_finished(folder.potential) or (pace := pace_of(folder)) is None:
        return None
    seconds = left(folder, pace).seconds
    return f"about {duration(seconds)} are left, at most" if seconds > 0 else None


def steps_taken(training: TrainingConfig, made: TrainingSummary) -> int:
    """Gradient steps of a training that is finished; `max_steps` may have ended its last epoch early."""
    steps = made.epochs * math.ceil(made.n_train / training.batch_size)
    return steps if training.max_steps is None else min(steps, training.max_steps)


def saved_by_ending_early(training: TrainingConfig, made: TrainingSummary) -> str:
    """`; flat then, which saved 2000 steps, about 50 s`; nothing where the limits ended it."""
    out_of_time = training.max_seconds is not None and made.seconds >= training.max_seconds
    if out_of_time or (training.schedule != "until_flat" and training.early_stop_patience_epochs is None):
        return ""
    taken = steps_taken(training, made)
    saved = gradient_steps(training, made.n_train + made.n_validation) - taken
    if saved < 0.05 * taken:
        return ""
    return f"; flat then, which saved {saved} steps, about {duration(saved * made.seconds / taken)}"


def _label_seconds(folder: CampaignFolder, results: list[RoundResult]) -> float:
    """Mean of computing, over the start and the rounds; failures cost, too."""
    start = folder.first_labels / OUTCOMES_FILE
    first = read_outcomes(start)["seconds"] if start.exists() else []
    labels = [r.labels for r in results if r.labels is not None]
    tried = len(first) + sum(found.n_labelled + found.n_failed for found in labels)
    seconds = float(sum(first)) + sum(found.seconds for found in labels)
    return seconds / tried if tried else 0.0
