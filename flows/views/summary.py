"""What a campaign's rounds say: the round table and the verdict, for every place that shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.record.results import EvaluationSummary, RoundResult, StopVerdict
from flows.views.duration import duration
from potential.metrics import METRICS, Metric

NOTICEABLE = 0.05
"""Relative change of the test error within which two rounds count as equal."""


LEDGER = "agree / candidate / failed"
"""Explored frames: the members agree, they do not quite, or the frame is lost."""
BROAD_MAE = "broad force MAE (meV/Å)"


def best_round(results: Sequence[RoundResult]) -> RoundResult:
    """The champion: the round with the smallest force MAE on the frozen test set.

    Raises:
        ValueError: without any result.
    """
    if not results:
        raise ValueError("no finished round to choose from; run the campaign first")
    return min(results, key=lambda result: result.test.force_mae)


def round_table(results: Sequence[RoundResult]) -> list[dict[str, str]]:
    """One row per round, column title to cell, ready to show. `–` where a stage did not run."""
    near = any(r.selection is not None and r.selection.near_duplicates is not None for r in results)
    tried = any(r.survival is not None for r in results)
    broadly = any(r.broad is not None for r in results)
    return [
        {
            "round": str(r.round),
            "labels": str(r.n_labels),
            "force MAE (meV/Å)": f"{1000 * r.test.force_mae:.1f}",
            **({BROAD_MAE: _broad_mae(r)} if broadly else {}),
            "force RMSE (meV/Å)": f"{1000 * r.test.force_rmse:.1f}",
            "energy MAE (meV/atom)": f"{1000 * r.test.energy_mae:.2f}",
            "Spearman": _or_dash(r.uncertainty.spearman, "{:.2f}"),
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
        | {
            f"{r.n_labels} labels": _shown(metric, None if found is None else found.more.get(metric.name))
            for r, found in zip(results, scored, strict=True)
        }
        for of, scored in sets.items()
        for metric in METRICS
        if any(found is not None and metric.name in found.more for found in scored)
    ]


def _shown(metric: Metric, value: float | None) -> str:
    return "–" if value is None else three_digits(metric.factor * value)


def three_digits(value: float) -> str:
    """To three significant digits, without exponents: `0.280`, `87.5`, `1549`."""
    decimals = 0 if value == 0 or not math.isfinite(value) else 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, decimals)}f}"


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
    first, last, best = results[0], results[-1], best_round(results)
    where = f"on the {last.test.n_frames} frozen test frames"
    if len(results) == 1:
        return (
            f"With {_labels(first)} the force error {where} is {_force(first)} (MAE). "
            "One round is not a learning curve yet."
        ) + "".join(f" {sentence}" for sentence in stop_sentences(results))
    fall, step = _fall(first, last), _fall(results[-2], last)
    grew = f"while the labels grew from {first.n_labels} to {last.n_labels}"
    ends = f"from {1000 * first.test.force_mae:.0f} to {_force(last)} (MAE)"
    if fall > NOTICEABLE:
        sentences = [f"The force error {where} fell {ends}, by {fall:.0%}, {grew}."]
    elif fall >= -NOTICEABLE:
        sentences = [f"The force error {where} did not change noticeably, {ends}, {grew}."]
    else:
        sentences = [f"The force error {where} rose {ends}, by {-fall:.0%}, {grew}."]
    if step > NOTICEABLE:
        sentences.append(f"The last round gained {step:.0%}: the curve still falls, more labels should help.")
    elif step >= -NOTICEABLE:
        sentences.append("The last round changed little: the curve is flat here.")
    else:
        sentences.append(f"The last round lost {-step:.0%}: look at its training history and selection.")
    if best.round != last.round:
        sentences.append(f"Best on the test set is round {best.round} with {_force(best)}.")
    return " ".join([*sentences, *stop_sentences(results)])


def stop_sentences(results: Sequence[RoundResult]) -> list[str]:
    """What the last round was worth, which conditions to stop hold, and what to do next."""
    last = results[-1]
    if last.stop is None:
        return []
    return [*_worth(results), *_stands(last.stop), *([last.stop.advice] if last.stop.advice else [])]


def _worth(results: Sequence[RoundResult]) -> list[str]:
    """Error gained per label and per hour of the last round."""
    if len(results) < 2 or results[-1].stop is None or results[-1].stop.gain is None:
        return []
    before, last = results[-2:]
    stop, labels = results[-1].stop, last.n_labels - before.n_labels
    hours = None if before.stop is None else stop.hours - before.stop.hours
    gained = 1000 * (before.test.force_mae - last.test.force_mae)
    per_hour = "" if not hours or hours <= 0 else f" and {three_digits(gained / hours)} per hour"
    per_label = f"{three_digits(gained / labels)} meV/Å per label" if labels > 0 else f"{gained:.2g} meV/Å"
    return [
        f"The last round gained {per_label}{per_hour} ({stop.gain:.0%} of the error, 95 % interval "
        f"{stop.gain_low:.0%} to {stop.gain_high:.0%} over the test frames)."
    ]


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


def _broad_mae(result: RoundResult) -> str:
    return _or_dash(None if result.broad is None else 1000 * result.broad.test.force_mae, "{:.1f}")


def _fall(before: RoundResult, after: RoundResult) -> float:
    return 1 - after.test.force_mae / before.test.force_mae if before.test.force_mae > 0 else 0.0


def _force(result: RoundResult) -> str:
    return f"{1000 * result.test.force_mae:.0f} meV/Å"


def _labels(result: RoundResult) -> str:
    return "1 label" if result.n_labels == 1 else f"{result.n_labels} labels"


def _ledger(result: RoundResult) -> str:
    if result.ledger is None or result.ledger.total == 0:
        return "–"
    counts = (result.ledger.accurate, result.ledger.candidate, result.ledger.failed)
    return " / ".join(f"{n / result.ledger.total:.0%}" for n in counts)


def _or_dash(value: int | float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
