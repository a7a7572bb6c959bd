"""What a campaign tells MLflow.

One experiment per campaign. The campaign's own run holds the settings as parameters and, with the number
of labels as the step, the metrics of every round: its charts are learning curves. A child run per round
holds its training history over the epochs, its figures and tables. The finished potential is a version of
a registered model (`flows.tracking.registry`).

The campaign folder is the truth and MLflow a view of it: whatever is logged is read from the folder,
each call first catches up on the finished rounds that the store lacks, and a store that is away
costs a warning, never the campaign.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.rounds import Arm, RoundFolder
from flows.tracking.campaign_runs import CampaignRuns, patience
from flows.tracking.mlflow_metrics import LAYOUT, points, round_metrics, training_history
from flows.tracking.page import in_words, page
from flows.tracking.registry import Candidate, register
from flows.tracking.store import (
    ARTIFACTS_FOLDER,
    address_problem,
    default_tracking_uri,
    kept_record,
    quiet_mlflow,
    reason,
    run_page,
)
from flows.views.console import say, warn
from flows.views.drawings import campaign_drawings, round_drawings
from flows.views.label_costs import label_costs
from flows.views.summary import champion_round, markdown_table, round_table
from labeling.location import without_passwords
from labeling.store import LabelStore, is_there
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.roles import Roles

if TYPE_CHECKING:
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

NOTE, FLOW_RUN = "mlflow.note.content", "prefect.flow_run"


class Tracker:
    """Logs a campaign to MLflow; every method may be called again, and none raises for MLflow's sake.

    Args:
        campaign: its folder and settings; its `name` names the experiment.
        tracking_uri: an MLflow tracking URI; default as in `default_tracking_uri`.
        flow_run: address of the Prefect run that logs.

    Attributes:
        warned: whether the last call could not write to MLflow.
    """

    def __init__(
        self, campaign: CampaignFolder, *, tracking_uri: str | None = None, flow_run: str | None = None
    ) -> None:
        self.campaign, self.flow_run = campaign, flow_run
        self.tracking_uri = tracking_uri or default_tracking_uri(campaign.path.parent)
        self._name = campaign.config.name
        self._settings = campaign.config.model_dump(mode="json")
        self.warned = False
        self._complete = False

    def log_start(self, dataset: Dataset | None = None) -> None:
        """Open (or reopen) the campaign's run; `dataset` is the initial labelled frames."""

        def log(runs: CampaignRuns) -> None:
            run = runs.parent()
            runs.set_status(run, "RUNNING")
            if dataset is not None:
                self._log_dataset(runs, run, "initial", dataset.fingerprint, n=len(dataset))

        self._log(log)

    def log_round(self, here: RoundFolder, result: RoundResult) -> None:
        """Log a round that has just finished, and the finished ones before it that the store lacks."""
        self._log(lambda runs: None, {here: result})

    def log_end(self) -> None:
        """Log and register the potential, log the report, close the run."""
        potential, report = self.campaign.potential, self.campaign.report

        def log(runs: CampaignRuns) -> None:
            run = runs.parent()
            if report.exists():
                runs.client.log_artifact(run.info.run_id, str(report))
            if potential.exists():
                registered = register(runs.client, runs.name, run, self._candidate())
                runs.tag(run, "registered_model", f"models:/{runs.name}/{registered.version}")
            for arm in self.campaign.arms:
                runs.set_status(runs.parent(arm), "FINISHED")
            self._complete = True

        self._log(log)

    def log_pause(self) -> None:
        """Log the report; the campaign waits for the run that goes on with it."""

        def log(runs: CampaignRuns) -> None:
            runs.client.log_artifact(runs.parent().info.run_id, str(self.campaign.report))
            for arm in self.campaign.arms:
                runs.set_status(runs.parent(arm), "SCHEDULED")

        self._log(log)

    def log_stop(self, status: Literal["FAILED", "KILLED"]) -> None:
        """Close the run of a campaign that an error (FAILED) or its user (KILLED) stopped."""

        def log(runs: CampaignRuns) -> None:
            for arm in self.campaign.arms:
                runs.set_status(runs.parent(arm), status)

        self._log(log)

    def log_check(self, errors: Mapping[str, float]) -> None:
        """Log what the published potential's errors are today, with the date as step (20261231).

        Args:
            errors: by what MLflow shall call them, unit included.
        """
        now = datetime.now(UTC)
        values = {f"9 champion/check_{name}": error for name, error in errors.items()}
        found = points(values, step=int(f"{now:%Y%m%d}"), timestamp_ms=round(1000 * now.timestamp()))
        self._log(lambda runs: runs.log_metrics(runs.parent(), found))

    def _log(
        self,
        log: Callable[[CampaignRuns], None],
        just_finished: Mapping[RoundFolder, RoundResult] | None = None,
    ) -> None:
        # Tracking shows a campaign, it must not be able to stop one, whatever MLflow raises.
        handled = sys.exception()  # what stops the campaign, where something does
        try:
            with patience(tracking_uri=self.tracking_uri):
                runs = self._connect()
                self._catch_up(runs, just_finished or {})
                log(runs)
                self._describe(runs)
                self._record(runs)
        except Exception as error:
            if not self.warned:
                why = reason(error, handled=handled)
                warn(
                    without_passwords(
                        f"MLflow at {self.tracking_uri} cannot be written ({why}). "
                        "The campaign goes on, everything is in its folder; what MLflow lacks is logged as "
                        "soon as it answers again."
                    )
                )
            logger.debug("while logging to MLflow", exc_info=True)
            self.warned = True
        else:
            if self.warned:
                say(f"MLflow at {without_passwords(self.tracking_uri)} answers again and has caught up.")
            self.warned = False

    def _connect(self) -> CampaignRuns:
        quiet_mlflow()
        from mlflow import MlflowClient

        if problem := address_problem(self.tracking_uri):
            raise ValueError(problem)
        artifacts = None
        if self.tracking_uri.startswith("sqlite:"):
            artifacts = (self.campaign.path.resolve().parent / ARTIFACTS_FOLDER / self._name).as_uri()
        client = MlflowClient(tracking_uri=self.tracking_uri)
        return CampaignRuns(client, self._name, self._campaign_id(), artifacts=artifacts)

    def _campaign_id(self) -> str:
        """Written before the first run is created, so that a killed campaign finds its runs by their tag."""
        if known := kept_record(self.campaign).get("campaign_id"):
            return str(known)
        campaign_id = uuid.uuid4().hex
        write_atomically(self.campaign.tracking, json.dumps({"campaign_id": campaign_id}))
        return campaign_id

    def _record(self, runs: CampaignRuns) -> None:
        """Where in MLflow the campaign is, for people who look into its folder."""
        record = {
            "campaign_id": runs.campaign_id,
            "tracking_uri": without_passwords(self.tracking_uri),
            "experiment_id": runs.experiment_id,
            "run_ids": runs.run_ids,
            "complete": without_passwords(self.tracking_uri) if self._complete else None,
        }
        write_atomically(self.campaign.tracking, json.dumps(record, indent=2))

    def _catch_up(self, runs: CampaignRuns, just_finished: Mapping[RoundFolder, RoundResult]) -> None:
        runs.log_params(runs.parent(), self._settings)
        new = [self._catch_up_arm(runs, arm, just_finished) for arm in self.campaign.arms]
        parent = runs.parent()
        if any(new) or NOTE not in parent.data.tags:
            for name, drawing in campaign_drawings(self.campaign).items():
                runs.client.log_text(parent.info.run_id, drawing, f"figures/{name}.svg")

    def _describe(self, runs: CampaignRuns) -> None:
        """Say on top of run and experiment how good, how many labels, what it cost, is it done."""
        parent = runs.parent()
        curve = run_page(runs.experiment_id, parent.info.run_id)
        if self.flow_run is not None:
            runs.tag(parent, FLOW_RUN, self.flow_run)
        flow_run = parent.data.tags.get(FLOW_RUN)
        said = in_words(self.campaign)
        runs.tag(parent, NOTE, page(self.campaign, said, curve=curve, flow_run=flow_run))
        summary = f"{said} [Learning curve]({curve})"
        runs.client.set_experiment_tag(runs.experiment_id, NOTE, summary)

    def _candidate(self) -> Candidate:
        """The potential as the registry takes it."""
        results = self.campaign.results()
        best = champion_round(results)
        here = self.campaign.round(best.round)
        until = [result for result in results if result.round <= best.round]
        found = round_metrics(here, until, label_costs(self.campaign))
        return Candidate(
            potential=self.campaign.potential,
            digest=_digest((self.campaign.potential / "weights.safetensors").read_bytes()),
            held_out=self._held_out(here),
            metrics=points(found, step=best.n_labels, timestamp_ms=_modified_ms(here.result)),
            step=best.n_labels,
            description=in_words(self.campaign),
        )

    def _held_out(self, here: RoundFolder) -> Dataset:
        """Labels that a round's committee was not trained on, though they were there."""
        roles, level = Roles.load(here.potential), self.campaign.config.level
        if roles is None or not is_there(self.campaign.label_store):
            return Dataset()
        store, ids = LabelStore(self.campaign.label_store), set(roles.ids("held_out"))
        return store.dataset([frame for frame in store.frames(level.key) if frame.id in ids], level.key)

    def _catch_up_arm(
        self, runs: CampaignRuns, arm: Arm, just_finished: Mapping[RoundFolder, RoundResult]
    ) -> bool:
        """Log the finished rounds of an arm that the store lacks; False if it has them all."""
        finished = {arm.round(result.round): result for result in arm.results()}
        finished |= {here: result for here, result in just_finished.items() if here.arm == arm}
        places = sorted(finished, key=lambda here: here.number)
        new = [
            self._log_round(runs, here, [finished[before] for before in places[: i + 1]])
            for i, here in enumerate(places)
        ]
        return any(new)

    def _log_round(self, runs: CampaignRuns, here: RoundFolder, results: list[RoundResult]) -> bool:
        """Log the last of `results` to its child run and to the parent; False if it is there already."""
        result, parent = results[-1], runs.parent(here.arm)
        ended_ms = _modified_ms(here.result)
        child = runs.child(here, started_ms=ended_ms - int(1000 * result.seconds))
        digest = _digest(f"{LAYOUT} {result.model_dump_json()}".encode())
        if child.data.tags.get("result_digest") == digest:
            return False
        found = round_metrics(here, results, label_costs(self.campaign))
        metrics = points(found, step=result.n_labels, timestamp_ms=ended_ms)
        runs.log_metrics(parent, metrics)
        runs.log_metrics(child, training_history(here.history, ended_ms))
        for run in (child, parent):
            for context, fingerprint, n in (
                ("training", result.training.fingerprint, result.n_labels),
                ("test", result.evaluation.fingerprint, result.test.n_frames),
            ):
                if fingerprint is not None:
                    self._log_dataset(runs, run, context, fingerprint, n=n)
        for name, drawing in round_drawings(here).items():
            runs.client.log_text(child.info.run_id, drawing, f"figures/{name}.svg")
        for table in (here.selection, here.outcomes):
            if table.exists():
                runs.client.log_artifact(child.info.run_id, str(table))
        runs.tag(child, NOTE, markdown_table(round_table([result])))
        runs.set_status(child, "FINISHED", ended_ms=ended_ms)
        runs.tag(child, "result_digest", digest)  # last: a round logged by half is logged again
        return True

    def _log_dataset(self, runs: CampaignRuns, run: Run, context: str, fingerprint: str, *, n: int) -> None:
        name, store = f"{runs.name}-{context}", self.campaign.label_store
        profile = {"labelled_frames": n, "level": self.campaign.config.level.name}
        runs.log_dataset(run, name, fingerprint, store=store, context=context, profile=profile)


def _modified_ms(path: Path) -> int:
    return int(1000 * (path.stat().st_mtime if path.exists() else time.time()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
