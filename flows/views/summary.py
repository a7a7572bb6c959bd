"""What a campaign's rounds say: the round table and the verdict, for every place that shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flows.record.results import EvaluationSummary, RoundResult, StopVerdict
from flows.views.duration import duration
from potential.metrics import ENERGY_MAE, FORCE_MAE, FORCE_RMSE, METRICS, SPEARMAN, Metric

NOTICEABLE = 0.05
"""Relative change of the test error within which two rounds count as equal."""


LEDGER = "agree / candidate / failed"
"""Explored frames: the members agree, they do not quite, or the frame is lost."""
BROAD_MAE = "broad force MAE (meV/Å)"


def champion_round(results: Sequence[RoundResult]) -> RoundResult:
    """The champion of an arm's rounds, as its last round has chosen it on held-out labels.

    Rounds of older versions have no choice: there it is the one with the smallest force MAE on the test set.

    Raises:
        ValueError: without any result.
    """
    if not results:
        raise ValueError("no finished round to choose from; run the campaign first")
    chosen = results[-1].champion
    if chosen is None:
        return min(results, key=lambda result: result.test.force_mae)
    return next(result for result in results if result.round == chosen.round)


def champion_line(results: Sequence[RoundResult]) -> str:
    """Which round is the champion, and why."""
    found, chosen = champion_round(results), results[-1].champion
    why = "the best on the frozen test set" if chosen is None else chosen.said
    return f"champion: round {found.round}, {why}"


def round_table(results: Sequence[RoundResult]) -> list[dict[str, str]]:
    """One row per round, column title to cell, ready to show. `–` where a stage did not run.

    Errors come with half of their 95 % interval over the test frames.
    """
    near = any(r.selection is not None and r.selection.near_duplicates is not None for r in results)
    tried = any(r.survival is not None for r in results)
    broadly = any(r.broad is not None for r in results)
    return [
        {
            "round": str(r.round),
            "labels": str(r.n_labels),
            "force MAE (meV/Å)": measured(r.evaluation, FORCE_MAE),
            **({BROAD_MAE: measured(r.broad, FORCE_MAE)} if broadly else {}),
            "force RMSE (meV/Å)": measured(r.evaluation, FORCE_RMSE),
            "energy MAE (meV/atom)": measured(r.evaluation, ENERGY_MAE),
            "Spearman": measured(r.evaluation, SPEARMAN),
            LEDGER: _ledger(r),
            "labelled": _or_dash(None if r.labels is None else r.labels.n_labelled, "{}"),
            **({"near-duplicates": _near_duplicates(r)} if near else {}),
            **({"survival": _survival(r)} if tried else {}),
            "label failures": _or_dash(None if r.labels is None else r.labels.n_failed, "{}"),
            "training": duration(r.training.seconds),
            "exploration": duration(r.explore_seconds),
            "labelling": duration(r.label_seconds),
        }
        for r in results
    ]


def more_metrics(results: Sequence[RoundResult]) -> list[dict[str, str]]:
    """One row per metric of `potential.metrics`, a column per number of labels; empty without any."""
    sets: dict[str, list[EvaluationSummary | None]] = {
        "": [r.evaluation for r in results],
        ", broad test": [r.broad for r in results],
    }
    return [
        {"on the test set": metric.title + of, "unit": metric.unit}
        | {f"{r.n_labels} labels": measured(found, metric) for r, found in zip(results, scored, strict=True)}
        for of, scored in sets.items()
        for metric in METRICS
        if any(found is not None and metric.name in found.more for found in scored)
    ]


def measured(found: EvaluationSummary | None, metric: Metric) -> str:
    """A metric as people read it, `22.6 ± 2.4`; `–` where it was not measured."""
    value = None if found is None else found.values().get(metric.name)
    if found is None or value is None:
        return "–"
    bounds = found.intervals.get(metric.name, (math.nan, math.nan))
    return plus_minus(*(metric.factor * number for number in (value, *bounds)))


def plus_minus(value: float, low: float, high: float) -> str:
    """A number with half of its interval, to two digits of that; alone where it is not known (NaN)."""
    half = (high - low) / 2
    if math.isnan(half):
        return three_digits(value)
    decimals = max(0, decimals_of(half, 2))
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


def decimals_of(value: float, digits: int) -> int:
    """Decimals with which a number has so many significant digits; negative where it has too many."""
    return 0 if value == 0 or not math.isfinite(value) else digits - 1 - math.floor(math.log10(abs(value)))


def three_digits(value: float) -> str:
    """To three significant digits, without exponents: `0.280`, `87.5`, `1549`."""
    return f"{value:.{max(0, decimals_of(value, 3))}f}"


def markdown_table(rows: Sequence[dict[str, str]]) -> str:
    """Rows with the same columns as a Markdown table, numbers to the right."""
    if not rows:
        return ""
    lines = [" | ".join(rows[0]), " | ".join("--:" for _ in rows[0])]
    lines += [" | ".join(row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def verdict(results: Sequence[RoundResult]) -> str:
    """Two or three sentences: how far the test error fell, and whether more labels promise more."""
    if not results:
        return "No round is finished yet."
    first, last = results[0], results[-1]
    where = f"on the {last.test.n_frames} frozen test frames"
    if len(results) == 1:
        return (
            f"With {_labels(first)} the force error {where} is {_force(first)} (MAE). "
            "One round is not a learning curve yet."
        ) + "".join(f" {sentence}" for sentence in stop_sentences(results))
    grew = f"while the labels grew from {first.n_labels} to {last.n_labels}"
    ends = f"from {three_digits(1000 * first.test.force_mae)} to {_force(last)} (MAE)"
    fall = _fall(first, last)
    if fall.sign == 0:
        sentences = [f"The force error {where} did not change {fall.surely}, {ends}, {grew}."]
    else:
        moved = "fell" if fall.sign > 0 else "rose"
        sentences = [f"The force error {where} {moved} {ends}, by {fall}, {grew}."]
    sentences.append(_last_step(results))
    if champion_round(results).round != last.round:
        sentences.append(f"The {champion_line(results)}.")
    return " ".join([*sentences, *stop_sentences(results)])


def stop_sentences(results: Sequence[RoundResult]) -> list[str]:
    """Which conditions to stop hold, and what to do next."""
    stop = results[-1].stop
    return [] if stop is None else [*_stands(stop), *([stop.advice] if stop.advice else [])]


def _last_step(results: Sequence[RoundResult]) -> str:
    """What the last round gained on the test set, and whether that is more than chance."""
    step = _gain(*results[-2:])
    if step.sign == 0 and step.interval is None:
        return "The last round changed little: the curve is flat here."
    if step.sign == 0:
        return f"The last round brought no significant gain ({step})."
    if step.sign < 0:
        return f"The last round lost {step}: look at its training history and selection."
    if step.share <= NOTICEABLE:
        return f"The last round gained {step}: the curve is nearly flat here."
    return f"The last round gained {step}: the curve still falls, more labels should help.{_worth(results)}"


def _worth(results: Sequence[RoundResult]) -> str:
    """Error gained per label and per hour of the last round."""
    before, last = results[-2:]
    labels = last.n_labels - before.n_labels
    if last.stop is None or labels <= 0:
        return ""
    hours = None if before.stop is None else last.stop.hours - before.stop.hours
    gained = 1000 * (before.test.force_mae - last.test.force_mae)
    per_hour = "" if not hours or hours <= 0 else f" and {three_digits(gained / hours)} per hour of computing"
    return f" That is {three_digits(gained / labels)} meV/Å per label{per_hour}."


def _stands(stop: StopVerdict) -> list[str]:
    if stop.ended is not None:
        return [f"It has ended, {stop.ended}."]
    if not stop.conditions:
        return []
    met = [c.said for c in stop.conditions if c.holds]
    open_ = [c.said for c in stop.conditions if not c.holds]
    parts = ([f"met: {'; '.join(met)}"] if met else []) + ([f"not yet: {'; '.join(open_)}"] if open_ else [])
    return [f"To stop, {'. '.join(parts)}."]


def _survival(result: RoundResult) -> str:
    return _or_dash(None if result.survival is None else result.survival.share, "{:.0%}")


def _near_duplicates(result: RoundResult) -> str:
    share = None if result.selection is None else result.selection.near_duplicates
    return "–" if share is None else f"{share:.0%}"


@dataclass(frozen=True)
class Change:
    """By which share an error fell; the sign is 0 where that may be chance.

    Attributes:
        interval: its 95 % interval over the test frames, paired; None where it was not measured, and what
            is smaller than `NOTICEABLE` counts as chance.
    """

    share: float
    interval: tuple[float, float] | None

    @property
    def sign(self) -> int:
        low, high = self.interval or (self.share - NOTICEABLE, self.share + NOTICEABLE)
        return int(low > 0) - int(high < 0)

    @property
    def surely(self) -> str:
        return f"significantly ({self})" if self.interval else "noticeably"

    def __str__(self) -> str:
        sign = self.sign or 1
        said = f"{sign * self.share:z.0%}"
        if self.interval is None:
            return said
        low, high = sorted(sign * bound for bound in self.interval)
        return f"{said}, 95 % interval {low:z.0%} to {high:z.0%}"


def _fall(first: RoundResult, last: RoundResult) -> Change:
    """Since the first round, as the last one measured it."""
    stop = last.stop
    if stop is not None and stop.fall is not None:
        return Change(stop.fall, stop.fall_interval)
    return Change(_share(first, last), None)


def _gain(before: RoundResult, last: RoundResult) -> Change:
    """Of the last round, as it measured it."""
    stop = last.stop
    if stop is None or stop.gain is None or stop.gain_low is None or stop.gain_high is None:
        return Change(_share(before, last), None)
    return Change(stop.gain, (stop.gain_low, stop.gain_high))


def _share(before: RoundResult, after: RoundResult) -> float:
    return 1 - after.test.force_mae / before.test.force_mae if before.test.force_mae > 0 else 0.0


def _force(result: RoundResult) -> str:
    return f"{three_digits(1000 * result.test.force_mae)} meV/Å"


def _labels(result: RoundResult) -> str:
    return "1 label" if result.n_labels == 1 else f"{result.n_labels} labels"


def _ledger(result: RoundResult) -> str:
    if result.ledger is None or result.ledger.total == 0:
        return "–"
    counts = (result.ledger.accurate, result.ledger.candidate, result.ledger.failed)
    return " / ".join(f"{n / result.ledger.total:.0%}" for n in counts)


def _or_dash(value: int | float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
