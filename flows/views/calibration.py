"""What a calibration says, for every place that shows it."""

from __future__ import annotations

from collections.abc import Sequence

from flows.record.results import ArrivedSummary, CalibrationSummary, RoundResult
from potential.calibration.calibration import LEVELS, CalibrationScores

SETS = {"test": "frozen test", "broad": "broad test", "arrived": "new labels"}
"""The sets of labels that a calibration is tried on, as people read them."""


def calibration_line(summary: CalibrationSummary) -> str:
    """What it was fitted on, and how it does on the frozen test."""
    on = f"{summary.n_held_out} held-out and {summary.n_arrived} new frames"
    if summary.calibration is None:
        return f"calibration: none, {on} are too few"
    scores = summary.scores.get("test")
    said = f"calibration on {on}"
    return said if scores is None else f"{said}; {_of(scores)}"


def arrived_line(summary: ArrivedSummary) -> str:
    """The committee on labels that came after its training."""
    said = f"new labels, before they are learned: force MAE {1000 * summary.errors.force_mae:.1f} meV/Å"
    return said if summary.scores is None else f"{said}; {_of(summary.scores)}"


def calibration_table(results: Sequence[RoundResult]) -> list[dict[str, str]]:
    """One row per round and set of labels; empty where nothing was calibrated."""
    return [
        {
            "round": str(result.round),
            "on": SETS[name],
            "frames": str(scores.n_frames),
            "expected MAE (meV/Å)": f"{1000 * scores.expected_mae:.1f}",
            "MAE (meV/Å)": f"{1000 * scores.mae:.1f}",
            "Spearman": _number(scores.spearman),
            f"AUROC, error > {1000 * scores.bound_eV_per_A:g} meV/Å": _number(scores.auroc),
            **{
                f"within {level:.0%} interval": f"{share:.1%}"
                for level, share in zip(LEVELS, scores.coverage, strict=True)
            },
            "ENCE": _number(scores.ence),
            "NLL": f"{scores.nll:.2f}",
            "CRPS (meV/Å)": f"{1000 * scores.crps:.1f}",
        }
        for result in results
        for name, scores in scores_of(result).items()
    ]


def scores_of(result: RoundResult) -> dict[str, CalibrationScores]:
    """Of the round's calibration by set of labels: test, broad, arrived."""
    found = {} if result.calibration is None else dict(result.calibration.scores)
    if result.arrived is not None and result.arrived.scores is not None:
        found["arrived"] = result.arrived.scores
    return {name: found[name] for name in SETS if name in found}


def calibration_metrics(result: RoundResult) -> dict[str, float | None]:
    """By their MLflow names."""
    metrics: dict[str, float | None] = {}
    for name, scores in scores_of(result).items():
        metrics |= {
            f"9 calibration/{name}_expected_mae_meV_per_A": 1000 * scores.expected_mae,
            f"9 calibration/{name}_mae_meV_per_A": 1000 * scores.mae,
            f"9 calibration/{name}_spearman": scores.spearman,
            f"9 calibration/{name}_auroc": scores.auroc,
            f"9 calibration/{name}_ence": scores.ence,
            f"9 calibration/{name}_nll": scores.nll,
            f"9 calibration/{name}_crps_meV_per_A": 1000 * scores.crps,
            **{
                f"9 calibration/{name}_coverage_{100 * level:.0f}": share
                for level, share in zip(LEVELS, scores.coverage, strict=True)
            },
        }
    return metrics


def _of(scores: CalibrationScores) -> str:
    coverage = " / ".join(f"{share:.0%}" for share in scores.coverage)
    levels = "/".join(f"{level:.0%}".rstrip("%") for level in LEVELS)
    return (
        f"expects {1000 * scores.expected_mae:.1f} and finds {1000 * scores.mae:.1f} meV/Å; "
        f"{coverage} within the {levels} % intervals"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
