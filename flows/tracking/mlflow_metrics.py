"""What MLflow draws of a campaign: metrics of a round, and of its training over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from flows.record.results import RoundResult
from flows.record.rounds import RoundFolder
from flows.views.calibration import calibration_metrics
from flows.views.label_costs import cost_metrics
from potential.metrics import METRICS

if TYPE_CHECKING:  # MLflow takes seconds to import
    from mlflow.entities import Metric


def round_metrics(here: RoundFolder, results: list[RoundResult], costs: pd.DataFrame) -> dict[str, float]:
    """Metrics of the last of `results` by their MLflow names; what did not run is left out.

    Args:
        here: the folder of that round.
        results: the rounds so far, in order.
        costs: `flows.views.label_costs.label_costs` of the campaign.
    """
    r = results[-1]
    metrics: dict[str, float | None] = {
        "Learning curve/test_force_mae_meV_per_A": 1000 * r.test.force_mae,
        "Learning curve/test_force_rmse_meV_per_A": 1000 * r.test.force_rmse,
        "Learning curve/test_energy_mae_meV_per_atom": 1000 * r.test.energy_mae,
        "Learning curve/test_energy_rmse_meV_per_atom": 1000 * r.test.energy_rmse,
        "uncertainty/mean_force_disagreement_meV_per_A": 1000 * r.uncertainty.mean_force_disagreement,
        "uncertainty/max_force_disagreement_meV_per_A": 1000 * r.uncertainty.max_force_disagreement,
        "uncertainty/spearman": r.uncertainty.spearman,
        "labels/n_labels": r.n_labels,
        "cost/train_seconds": r.training.seconds,
        "cost/explore_seconds": r.explore_seconds,
        "cost/label_seconds": r.label_seconds,
        "cost/cumulative_train_seconds": sum(done.training.seconds for done in results),
        **cost_metrics(costs, here),
        **calibration_metrics(r),
    }
    if r.broad is not None:
        metrics |= {
            "Learning curve/broad_force_mae_meV_per_A": 1000 * r.broad.test.force_mae,
            "Learning curve/broad_energy_mae_meV_per_atom": 1000 * r.broad.test.energy_mae,
            "broad/force_rmse_meV_per_A": 1000 * r.broad.test.force_rmse,
            "broad/energy_rmse_meV_per_atom": 1000 * r.broad.test.energy_rmse,
            "broad/spearman": r.broad.uncertainty.spearman,
        }
    for name, scored in (("test", r.evaluation), ("broad", r.broad)):
        for metric in METRICS:
            if scored is not None and metric.name in scored.more:
                unit = metric.unit.replace("/Å", "_per_A").replace("/", "_per_")
                metrics[f"{name}/{metric.name}_{unit}"] = metric.factor * scored.more[metric.name]
    if r.selection is not None:
        metrics["labels/n_selected"] = r.selection.n_selected
        metrics["labels/near_duplicate_share"] = r.selection.near_duplicates
    if r.labels is not None:
        metrics["labels/n_labelled"] = r.labels.n_labelled
        metrics["labels/n_label_failures"] = r.labels.n_failed
    if r.exploration is not None:
        metrics["exploration/surviving_replicas"] = r.exploration.surviving_replicas
    if r.ledger is not None:
        for name in ("accurate", "candidate", "failed"):
            count = getattr(r.ledger, name)
            metrics[f"exploration/{name}"] = count
            metrics[f"exploration/{name}_fraction"] = count / r.ledger.total if r.ledger.total else None
    return {name: float(value) for name, value in metrics.items() if value is not None}


def training_history(path: Path, timestamp_ms: int) -> list[Metric]:
    """The training history over the epochs."""
    if not path.exists():
        return []
    columns = {
        "train_loss": ("training/loss", 1.0),
        "train_force_mae": ("training/force_mae_meV_per_A", 1000.0),
        "validation_force_mae": ("training/validation_force_mae_meV_per_A", 1000.0),
        "validation_energy_mae_per_atom": ("training/validation_energy_mae_meV_per_atom", 1000.0),
        "learning_rate": ("training/learning_rate", 1.0),
    }
    found: list[Metric] = []
    for row in pd.read_csv(path).to_dict("records"):
        values = {name: f * row[c] for c, (name, f) in columns.items() if pd.notna(row.get(c))}
        found += points(values, step=int(row["epoch"]), timestamp_ms=timestamp_ms)
    return found


def points(values: Mapping[str, float], *, step: int, timestamp_ms: int) -> list[Metric]:
    """One point of each metric, as MLflow takes them."""
    from mlflow.entities import Metric

    return [Metric(name, value, timestamp_ms, step) for name, value in values.items()]
