"""One campaign's place in an MLflow store: its experiment, its parent run, a child run per round.

Every call may be repeated: runs are found by their tags before they are created, and a metric, a
dataset or a model version that is there already is not written again. Nothing of MLflow's global
state (active run, tracking URI) is used.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from flows.engine.probe import probe
from flows.record.rounds import Arm, RoundFolder
from flows.views.console import say
from labeling.location import is_url, without_passwords

if TYPE_CHECKING:  # MLflow takes seconds to import; the command line shall not wait for it
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

METRICS_PER_CALL, PARAMS_PER_CALL, PARAM_LENGTH = 1000, 100, 6000  # limits of MLflow's API
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextmanager
def patience(seconds: float = 5.0, *, tracking_uri: str) -> Iterator[None]:
    """Fail within seconds where no server answers; MLflow's own retries go on for minutes.

    Raises:
        ConnectionError: no HTTP answer from the tracking server.
    """
    if tracking_uri.startswith(("http://", "https://")):
        try:
            probe(tracking_uri, seconds)
        except OSError as error:
            raise ConnectionError(f"no answer within {seconds:.0f} s: {error}") from error
    # A model's version is sought in MLflow's global store, whatever the client's.
    wanted = {**PATIENCE, "MLFLOW_TRACKING_URI": tracking_uri}
    mine = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


class CampaignRuns:
    """The runs of the campaign tagged `campaign_id`.

    Args:
        client: bound to the tracking store.
        name: of the campaign: names the experiment, its runs and the registered model.
        campaign_id: tells apart campaigns of the same name.
        artifacts: URI under which the experiment keeps its artifacts; None where the server decides.
    """

    def __init__(
        self, client: MlflowClient, name: str, campaign_id: str, *, artifacts: str | None = None
    ) -> None:
        self.client, self.name, self.campaign_id = client, name, campaign_id
        self.experiment_id = self._experiment(artifacts)
        query = f"tags.campaign_id = '{campaign_id}'"
        self._runs: dict[str, Run] = {
            run.data.tags["campaign_part"]: run
            for run in client.search_runs([self.experiment_id], query, max_results=5000)
        }

    def _experiment(self, artifacts: str | None) -> str:
        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is not None and artifacts and _is_gone(experiment.artifact_location, artifacts):
            # MLflow keeps the absolute path, and would make the old folder anew for what is to come.
            number, old = experiment.experiment_id, experiment.artifact_location
            self.client.rename_experiment(number, f"{self.name} (moved, experiment {number})")
            say(
                f"MLflow looks for the figures of {self.name} in {old}, which is not there any more: "
                f"it is logged anew; its old runs are in `{self.name} (moved, experiment {number})`."
            )
            experiment = None
        if experiment is None:
            return str(self.client.create_experiment(self.name, artifact_location=artifacts))
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    @property
    def run_ids(self) -> dict[str, str]:
        """`campaign`, `round 0`, ... to MLflow's run id."""
        return {part: run.info.run_id for part, run in self._runs.items()}

    def parent(self, arm: Arm | None = None) -> Run:
        """The run of the whole campaign, or of an arm beside it; its name is the campaign's."""
        if arm is None or arm.is_main:
            return self._find_or_create("campaign", self.name, {}, None)
        return self._find_or_create(f"arm {arm.name}", f"{self.name}, {arm.name}", {}, None)

    def beside(self, part: str) -> Run:
        """A run of the campaign that is none of its rounds."""
        return self._find_or_create(part, f"{self.name}, {part}", {}, None)

    def child(self, here: RoundFolder, *, started_ms: int) -> Run:
        """The run of one round, inside its arm's."""
        parent = {"mlflow.parentRunId": self.parent(here.arm).info.run_id}
        return self._find_or_create(str(here), f"{self.name}, {here}", parent, started_ms)

    def _find_or_create(self, part: str, name: str, tags: Mapping[str, str], started_ms: int | None) -> Run:
        if part not in self._runs:
            mine = {"campaign_id": self.campaign_id, "campaign_part": part, "mlflow.source.name": "alnico"}
            self._runs[part] = self.client.create_run(
                self.experiment_id, start_time=started_ms, tags=mine | dict(tags), run_name=name
            )
        run = self._runs[part]
        if run.info.run_name != name:  # of a version that named them otherwise
            self.client.update_run(run.info.run_id, name=name)
            self._runs[part] = run = self.client.get_run(run.info.run_id)
        return run

    def tag(self, run: Run, key: str, value: str) -> None:
        if run.data.tags.get(key) != value:
            self.client.set_tag(run.info.run_id, key, value)
            run.data.tags[key] = value

    def log_params(self, run: Run, params: Mapping[str, Any]) -> None:
        """Nested settings as `level.xc`. A setting changed since the first run becomes a tag: MLflow's
        parameters cannot change."""
        from mlflow.entities import Param

        flat, known = _flatten(params), run.data.params
        for key, value in flat.items():
            if known.get(key, value) != value:
                self.tag(run, f"changed.{key}", f"{known[key]} -> {value}"[:PARAM_LENGTH])
        new = [Param(key, value) for key, value in flat.items() if key not in known]
        for start in range(0, len(new), PARAMS_PER_CALL):
            self.client.log_batch(run.info.run_id, params=new[start : start + PARAMS_PER_CALL])
        known.update({param.key: param.value for param in new})

    def log_metrics(self, run: Run, metrics: Iterable[Metric]) -> None:
        """Points that the run has already (same name, step and value) are left out."""
        run_id = run.info.run_id
        by_key: dict[str, list[Metric]] = {}
        for metric in metrics:
            by_key.setdefault(metric.key, []).append(metric)
        new = []
        for key, points in by_key.items():
            logged = self.client.get_metric_history(run_id, key) if key in run.data.metrics else []
            there = {(point.step, point.value) for point in logged}
            new += [point for point in points if (point.step, point.value) not in there]
        for start in range(0, len(new), METRICS_PER_CALL):
            self.client.log_batch(run_id, metrics=new[start : start + METRICS_PER_CALL])
        run.data.metrics.update({point.key: point.value for point in new})

    def log_dataset(
        self, run: Run, name: str, digest: str, *, store: Path | str, context: str, profile: Mapping[str, Any]
    ) -> None:
        """Name a dataset as an input of the run; the labels stay in the campaign's label store.

        `mlflow.data.get_source` opens a store that is a file. One that is a URL is named, without password.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind, source = _source(store)
        dataset = Dataset(
            name=name,
            digest=digest,
            source_type=kind,
            source=json.dumps(source),
            profile=json.dumps(profile, ensure_ascii=False),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(run.info.run_id, datasets=[DatasetInput(dataset, tags)])

    def set_status(self, run: Run, status: str, *, ended_ms: int | None = None) -> None:
        """RUNNING, SCHEDULED (waits to go on), FINISHED, FAILED or KILLED."""
        if status in ("RUNNING", "SCHEDULED"):
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(
                run.info.run_id, status=status, end_time=ended_ms or int(1000 * time.time())
            )


def _source(store: Path | str) -> tuple[str, dict[str, Any]]:
    if is_url(store):
        return "code", {"tags": {"label store": without_passwords(str(store))}}
    return "local", {"uri": Path(store).resolve().as_uri()}


def _is_gone(recorded: str, here: str) -> bool:
    """Whether the folder in which an experiment keeps its artifacts was moved away; both are file URIs."""
    if recorded == here or not recorded.startswith("file:"):
        return False
    return not Path(unquote(urlsplit(recorded).path)).exists()


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[name] = text[:PARAM_LENGTH]
    return flat
