"""Where MLflow keeps what campaigns tell it, and the addresses of pages there."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from labeling.location import without_passwords

STORE_FILE, ARTIFACTS_FOLDER = "mlflow.db", "mlruns"
MLFLOW_PORT = 5000
# Without it MLflow opens an experiment in its view for language models.
AS_TRAINING = "workflowType=machine_learning"


def default_tracking_uri(campaigns: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else an SQLite file in the folder of all campaigns."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{campaigns.resolve() / STORE_FILE}"


def quiet_mlflow() -> None:
    """Before its client is used: no telemetry, and its log lines go where all others go, a run's log file.

    By itself it writes the traceback of whatever fails to the terminal, where one line of ours says it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    import mlflow  # noqa: F401  it takes the terminal when it is imported

    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def reason(error: BaseException, *, handled: BaseException | None = None) -> str:
    """What failed, in a line: what the first of a chain of errors says.

    Args:
        handled: what was being handled before, such as Ctrl-C, of which `error` is no consequence.
    """
    while (earlier := error.__cause__ or error.__context__) not in (None, handled):
        error = earlier
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


def address_problem(uri: str) -> str | None:
    """Why `uri` would name another file than it seems to; None if it does not.

    A URL of SQLAlchemy ends its path at the first `?` and knows no escape for it, so a store in the folder
    `done?` would come to lie beside it, in the file `done`.
    """
    path, mark, options = uri.partition("?")
    if path.startswith("sqlite:///") and mark and "/" in options:
        return (
            "MLflow's database cannot be in a folder with `?` in its name: rename it, or set "
            "MLFLOW_TRACKING_URI"
        )
    return None


def server_of(uri: str) -> str:
    """The server that shows a store: itself, or the one that `alnico ui` starts."""
    return uri if uri.startswith(("http://", "https://")) else f"http://127.0.0.1:{MLFLOW_PORT}"


def tracking_record(campaign: CampaignFolder) -> Mapping[str, Any]:
    """Where in MLflow the campaign is (experiment and runs); empty before anything is logged."""
    record = kept_record(campaign)
    return record if "run_ids" in record else {}


def kept_record(campaign: CampaignFolder) -> Mapping[str, Any]:
    """What the campaign's folder says of its runs; empty where it says nothing, or is damaged there."""
    try:
        record = json.loads(campaign.tracking.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def logged(campaign: CampaignFolder) -> bool:
    """Whether the store that is configured now was told of the campaign's end, and is there."""
    uri = default_tracking_uri(campaign.path.parent)
    record = kept_record(campaign)
    there = not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()
    return there and record.get("complete") == without_passwords(uri)


def run_page(experiment_id: str, run_id: str) -> str:
    """The charts of a run, relative to the server."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/model-metrics?{AS_TRAINING}"


def learning_curve_address(campaign: CampaignFolder, server: str) -> str | None:
    """Address of the page with the learning curve on an MLflow `server`; None before anything is logged."""
    record = tracking_record(campaign)
    if not record:
        return None
    return f"{server.rstrip('/')}/{run_page(record['experiment_id'], record['run_ids']['campaign'])}"


def comparison_address(campaigns: list[CampaignFolder], metric: str, server: str) -> str:
    """Address of one chart with the learning curves of campaigns and of their arms.

    Raises:
        CampaignError: if one of them has not been logged.
    """
    runs, experiments = [], []
    for campaign in campaigns:
        record = tracking_record(campaign)
        if not record:
            raise CampaignError(f"campaign {campaign.config.name} is not in MLflow yet; `alnico run` logs it")
        parts = record["run_ids"]
        arms = sorted(part for part in parts if part.startswith("arm "))
        runs += [parts[part] for part in ("campaign", *arms)]
        experiments.append(record["experiment_id"])
    asked = {
        "runs": runs,
        "metric": metric,
        "experiments": list(dict.fromkeys(experiments)),
        "plot_metric_keys": [metric],
        "x_axis": "step",
    }
    query = "&".join(f"{key}={quote(_json(value), safe='')}" for key, value in asked.items())
    return f"{server.rstrip('/')}/#/metric?{query}&{AS_TRAINING}"


def _json(value: Any) -> str:
    return value if value == "step" else json.dumps(value)
