"""A learning-curve study in MLflow: one run per curve, the number of labels as the step.

MLflow's own view of several runs overlays them, coloured by the tags `strategy`, `model` and `seed`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from flows.settings.study_config import StudyConfig
from flows.tracking.store import default_tracking_uri, quiet_mlflow, reason
from flows.views.console import warn
from labeling.location import without_passwords


def log_curve(config: StudyConfig, names: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> None:
    """Log a finished curve in place of what was logged of it before; a store that is away costs a warning.

    Args:
        names: model, strategy and seed of the curve.
        rows: of its points, as `flows.study.curves.finished_points` has them.
    """
    uri, handled = default_tracking_uri(config.folder), sys.exception()
    try:
        _log(config, names, rows, uri)
    except Exception as error:  # noqa: BLE001  tracking shows a study, it must not be able to stop one
        warn(f"MLflow at {without_passwords(uri)} cannot be written ({reason(error, handled=handled)})")


def _log(
    config: StudyConfig, names: Mapping[str, str], rows: Sequence[Mapping[str, object]], uri: str
) -> None:
    quiet_mlflow()
    import time

    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(config.name)
    experiment_id = client.create_experiment(config.name) if experiment is None else experiment.experiment_id
    label = "-".join(names.values())
    for old in client.search_runs([experiment_id], f"tags.curve = '{label}'"):
        client.delete_run(old.info.run_id)
    tags = {"curve": label, "mlflow.source.name": "alnico study", **names}
    run_id = client.create_run(experiment_id, tags=tags, run_name=label).info.run_id
    now = int(1000 * time.time())
    metrics = [
        Metric(_name(key), _factor(key) * float(str(value)), now, int(str(row["n_labels"])))
        for row in rows
        for key, value in row.items()
        if key not in ("model", "strategy", "seed", "n_labels") and value is not None
    ]
    client.log_batch(run_id, metrics=metrics, params=[Param(k, v) for k, v in names.items()])
    client.set_terminated(run_id)


def _factor(key: str) -> float:
    return 1000.0 if _is_energy(key) or _is_force(key) else 1.0


def _name(key: str) -> str:
    return f"{key}_meV_per_A" if _is_force(key) else f"{key}_meV_per_atom" if _is_energy(key) else key


def _is_force(key: str) -> bool:
    return "force" in key


def _is_energy(key: str) -> bool:
    return "energy" in key
