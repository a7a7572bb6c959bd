"""May a campaign stop after this round, and what would help it? Conditions, budgets, advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exploration.convergence import gain_of, labels_to_reach
from flows.record.folder import CampaignFolder
from flows.record.results import Condition, RoundResult, StopVerdict
from flows.record.rounds import OUTCOMES_FILE, RoundFolder, read_outcomes
from flows.settings.stop_config import StopConfig
from potential.bootstrap import Estimate
from potential.calibration.calibration import EXPECTED_COMPONENT, EXPECTED_LENGTH
from potential.data.tables import read_table

EXPECTED_MAE_OF_LENGTH = EXPECTED_COMPONENT / EXPECTED_LENGTH
"""Mean absolute error of components over mean length of the error."""


def judge(folder: CampaignFolder, here: RoundFolder, results: Sequence[RoundResult]) -> StopVerdict:
    """Of the last of `results`, the rounds of one arm so far."""
    stop, last = folder.config.stop, results[-1]
    gain = _gain(here.previous, here) if len(results) > 1 else None
    fall = _gain(here.arm.round(0), here) if len(results) > 1 else None
    conditions = _conditions(stop, last, gain)
    spent = spent_hours(folder, results)
    return StopVerdict(
        conditions=conditions,
        ended=_budget_spent(stop, last.n_labels, spent, labels_affordable(folder, results))
        or _converged(conditions),
        hours=spent,
        cost=None if stop.price_per_hour is None else spent * stop.price_per_hour,
        gain=None if gain is None else gain.value,
        gain_low=None if gain is None else gain.low,
        gain_high=None if gain is None else gain.high,
        fall=None if fall is None else fall.value,
        fall_interval=None if fall is None else (fall.low, fall.high),
        advice=_advice(stop, results, conditions, gain),
    )


def labels_affordable(folder: CampaignFolder, results: Sequence[RoundResult]) -> int | None:
    """How many more labels the budgets leave; None without a budget."""
    stop, n_labels = folder.config.stop, results[-1].n_labels
    left = [] if stop.max_labels is None else [max(0, stop.max_labels - n_labels)]
    if stop.hours is not None:
        seconds = 3600 * max(0.0, stop.hours - spent_hours(folder, results))
        each = seconds_per_label(folder, results)
        left.append(int(seconds / each) if each > 0 else (1_000_000 if seconds > 0 else 0))
    return min(left, default=None)


def spent_hours(folder: CampaignFolder, results: Sequence[RoundResult]) -> float:
    """Of computing: labels of the start and of these rounds, training, exploration."""
    return (_start_seconds(folder) + sum(result.seconds for result in results)) / 3600


def _start_seconds(folder: CampaignFolder) -> float:
    return float(sum(read_outcomes(path)["seconds"].sum() for path in _start_outcomes(folder)))


def _start_outcomes(folder: CampaignFolder) -> list[Path]:
    stages = (folder.first_labels, folder.broad_labels, folder.isolated_atoms)
    return [path for stage in stages if (path := stage / OUTCOMES_FILE).exists()]


def seconds_per_label(folder: CampaignFolder, results: Sequence[RoundResult]) -> float:
    """Mean over the start and the rounds; failures cost, too."""
    labels = [r.labels for r in results if r.labels is not None]
    tried = sum(len(read_outcomes(path)) for path in _start_outcomes(folder))
    tried += sum(found.n_labelled + found.n_failed for found in labels)
    seconds = _start_seconds(folder) + sum(found.seconds for found in labels)
    return seconds / tried if tried else 0.0


def _gain(earlier: RoundFolder, here: RoundFolder) -> Estimate | None:
    """What was gained on the frozen test since; None where the tables are not (any more) there."""
    files = [place.test_errors for place in (earlier, here)]
    if not all(file.exists() for file in files):
        return None
    before, after = (
        read_table(file, needs=("frame_id", "n_atoms", "force_mae")).set_index("frame_id") for file in files
    )
    both = before.index.intersection(after.index)
    if len(both) < 2 or not before.loc[both, "force_mae"].sum() > 0:
        return None
    n_atoms = before.loc[both, "n_atoms"].to_numpy(np.int64)
    return gain_of(
        before.loc[both, "force_mae"].to_numpy(float), after.loc[both, "force_mae"].to_numpy(float), n_atoms
    )


def _conditions(stop: StopConfig, last: RoundResult, gain: Estimate | None) -> tuple[Condition, ...]:
    found = []
    if stop.force_error_meV_per_A is not None:
        found.append(_at_most("test force MAE", 1000 * last.test.force_mae, stop.force_error_meV_per_A))
        explored = None if last.exploration is None else last.exploration.expected_error
        expected = None if explored is None else 1000 * EXPECTED_MAE_OF_LENGTH * explored
        found.append(_at_most("expected force MAE of explored frames", expected, stop.force_error_meV_per_A))
    if stop.candidate_share is not None:
        counts = last.ledger
        share = None if counts is None or not counts.total else 100 * counts.candidate / counts.total
        found.append(_at_most("candidates", share, 100 * stop.candidate_share, unit="%"))
    if stop.survival is not None:
        lived = None if last.exploration is None else 100 * last.exploration.surviving_replicas
        if last.survival is not None:
            lived = 100 * last.survival.share
        found.append(_at_least("surviving replicas", lived, 100 * stop.survival, unit="%"))
    if stop.flat_gain is not None:
        highest = None if gain is None else 100 * gain.high
        found.append(_at_most("gain of the last round, at most", highest, 100 * stop.flat_gain, unit="%"))
    return tuple(found)


def _at_most(name: str, value: float | None, bound: float, unit: str = "meV/Å") -> Condition:
    holds = None if value is None else bool(value <= bound)
    return Condition(name=name, holds=holds, said=f"{name} {_shown(value, unit)}, wanted ≤ {bound:g} {unit}")


def _at_least(name: str, value: float | None, bound: float, unit: str) -> Condition:
    holds = None if value is None else bool(value >= bound)
    return Condition(name=name, holds=holds, said=f"{name} {_shown(value, unit)}, wanted ≥ {bound:g} {unit}")


def _shown(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.3g} {unit}"


def _converged(conditions: Sequence[Condition]) -> str | None:
    if not conditions or not all(condition.holds for condition in conditions):
        return None
    return "converged: " + "; ".join(condition.said for condition in conditions)


def _budget_spent(stop: StopConfig, n_labels: int, spent: float, affordable: int | None) -> str | None:
    if affordable != 0:
        return None
    if stop.max_labels is not None and n_labels >= stop.max_labels:
        return f"the budget of {stop.max_labels} labels is spent"
    price = "" if stop.price_per_hour is None else f", {spent * stop.price_per_hour:.3g} of money"
    return f"the budget of {stop.hours:.3g} hours leaves no label to pay ({spent:.3g} hours are spent{price})"


def _advice(
    stop: StopConfig, results: Sequence[RoundResult], conditions: Sequence[Condition], gain: Estimate | None
) -> str:
    """What to do next, from what is measured; empty where nothing follows."""
    last = results[-1]
    missed = {condition.name for condition in conditions if condition.holds is False}
    if "surviving replicas" in missed:
        return "Replicas still stop early: let more rounds run, or lower timestep_fs or the top temperature."
    flat = gain is not None and gain.high < 0.05
    wanted = stop.force_error_meV_per_A
    if wanted is not None and 1000 * last.test.force_mae > wanted:
        labels = np.array([float(r.n_labels) for r in results])
        reached = labels_to_reach(wanted / 1000, labels, np.array([r.test.force_mae for r in results]))
        if flat:
            return (
                "More labels of this kind gain little: a larger model, a longer training, or a wider "
                "exploration may."
            )
        if reached is not None and reached > last.n_labels:
            return f"By its curve so far it reaches {wanted:g} meV/Å at about {reached:.0f} labels."
        return ""
    if "expected force MAE of explored frames" in missed and wanted is not None:
        return "The test is met, explored frames are not: more rounds help where the dynamics go."
    return ""
