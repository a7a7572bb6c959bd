"""What MLflow draws of a campaign: metrics of a round, and of its training over the epochs.

MLflow sorts charts by their section and then by their name; so the sections are numbered, in the order in
which people ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from flows.record.results import RoundResult
from flows.record.rounds import RoundFolder
from flows.views.calibration import calibration_metrics
from flows.views.label_costs import cost_metrics
from potential.data.tables import read_table
from potential.metrics import BASIC, METRICS

if TYPE_CHECKING:  # MLflow takes seconds to import
    from mlflow.entities import Metric

FORCE_MAE = "1 force error/test_mae_meV_per_A"
"""The learning curve."""
LAYOUT = "3"
"""Changes with the names of the metrics: finished rounds are then logged again."""


def round_metrics(here: RoundFolder, results: list[RoundResult], costs: pd.DataFrame) -> dict[str, float]:
    """Metrics of the last of `results` by their MLflow names; what did not run is left out.

    Args:
        here: the folder of that round.
        results: the rounds so far, in order.
        costs: `flows.views.label_costs.label_costs` of the campaign.
    """
    r = results[-1]
    metrics: dict[str, float | None] = {
        FORCE_MAE: 1000 * r.test.force_mae,
        "1 force error/test_rmse_meV_per_A": 1000 * r.test.force_rmse,
        "2 energy error/test_mae_meV_per_atom": 1000 * r.test.energy_mae,
        "2 energy error/test_rmse_meV_per_atom": 1000 * r.test.energy_rmse,
        "5 uncertainty/mean_force_disagreement_meV_per_A": 1000 * r.uncertainty.mean_force_disagreement,
        "5 uncertainty/max_force_disagreement_meV_per_A": 1000 * r.uncertainty.max_force_disagreement,
        "5 uncertainty/spearman": r.uncertainty.spearman,
        "3 labels/n_labels": r.n_labels,
        "4 cost/train_seconds": r.training.seconds,
        "4 cost/explore_seconds": r.explore_seconds,
        "4 cost/label_seconds": r.label_seconds,
        "4 cost/cumulative_train_seconds": sum(done.training.seconds for done in results),
        **cost_metrics(costs, here),
        **calibration_metrics(r),
    }
    if r.broad is not None:
        metrics |= {
            "1 force error/test_broad_mae_meV_per_A": 1000 * r.broad.test.force_mae,
            "2 energy error/test_broad_mae_meV_per_atom": 1000 * r.broad.test.energy_mae,
            "1 force error/test_broad_rmse_meV_per_A": 1000 * r.broad.test.force_rmse,
            "2 energy error/test_broad_rmse_meV_per_atom": 1000 * r.broad.test.energy_rmse,
            "5 uncertainty/test_broad_spearman": r.broad.uncertainty.spearman,
        }
    for name, scored in (("7 test set", r.evaluation), ("8 broad test set", r.broad)):
        for metric in METRICS:
            if scored is not None and metric.name in scored.more:
                metrics[f"{name}/{metric.name}{_suffix(metric.unit)}"] = (
                    metric.factor * scored.more[metric.name]
                )
    for name, scored in (("test", r.evaluation), ("test_broad", r.broad)):
        for metric in (*BASIC, *METRICS):
            if scored is not None and (bounds := scored.intervals.get(metric.name)) is not None:
                for end, bound in zip(("low", "high"), bounds, strict=True):
                    key = f"9 error bars/{name}_{metric.name}_{end}{_suffix(metric.unit)}"
                    metrics[key] = metric.factor * bound
    if r.champion is not None:
        metrics["9 champion/round"] = r.champion.round
        if r.champion.force_mae is not None:
            metrics["9 champion/held_out_force_mae_meV_per_A"] = 1000 * r.champion.force_mae
    if r.selection is not None:
        metrics["3 labels/n_selected"] = r.selection.n_selected
        metrics["3 labels/near_duplicate_share"] = r.selection.near_duplicates
    if r.labels is not None:
        metrics["3 labels/n_labelled"] = r.labels.n_labelled
        metrics["3 labels/n_label_failures"] = r.labels.n_failed
    if r.exploration is not None:
        metrics["6 exploration/surviving_replicas"] = r.exploration.surviving_replicas
    if r.survival is not None:
        for at in r.survival.at:
            metrics[f"6 exploration/survival_at_{at.temperature_K:g}_K"] = at.survived / at.replicas
            metrics[f"6 exploration/survival_mean_time_at_{at.temperature_K:g}_K_fs"] = at.mean_time_fs
    if r.ledger is not None:
        for name in ("accurate", "candidate", "failed"):
            count = getattr(r.ledger, name)
            metrics[f"6 exploration/{name}"] = count
            metrics[f"6 exploration/{name}_fraction"] = count / r.ledger.total if r.ledger.total else None
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _suffix(unit: str) -> str:
    """As the end of a name."""
    return f"_{unit}".replace("/Å", "_per_A").replace("/", "_per_") if unit else ""


def training_history(path: Path, timestamp_ms: int) -> list[Metric]:
    """The training history over the epochs."""
    if not path.exists():
        return []
    columns = {
        "train_loss": ("3 training/loss", 1.0),
        "train_force_mae": ("1 force error/training_mae_meV_per_A", 1000.0),
        "validation_force_mae": ("1 force error/validation_mae_meV_per_A", 1000.0),
        "validation_energy_mae_per_atom": ("2 energy error/validation_mae_meV_per_atom", 1000.0),
        "learning_rate": ("3 training/learning_rate", 1.0),
    }
    found: list[Metric] = []
    for row in read_table(path, needs=("epoch",)).to_dict("records"):
        values = {name: f * row[c] for c, (name, f) in columns.items() if pd.notna(row.get(c))}
        found += points(values, step=int(row["epoch"]), timestamp_ms=timestamp_ms)
    return found


def points(values: Mapping[str, float], *, step: int, timestamp_ms: int) -> list[Metric]:
    """One point of each metric, as MLflow takes them."""
    from mlflow.entities import Metric

    return [Metric(name, value, timestamp_ms, step) for name, value in values.items()]
