"""Potentials in MLflow's model registry: versions from code, and which of them is the champion.

A version is a potential's folder beside `committee_model.py`, which `mlflow.pyfunc.load_model` runs; nothing
is pickled. `champion` is the version to use; `challenger` is the newest one that has not beaten it.

A campaign chooses among its own rounds (`flows.steps.choose`), and the registry keeps to that. A potential of
another campaign of this name becomes champion if its force error is smaller beyond the error bar on labels
that neither has learned from: those held out of its training which the champion was not trained on either.
Frozen test sets are not asked.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.tracking.store import default_tracking_uri
from flows.version import version as alnico_version
from flows.views.error_bars import frame_errors, mae_difference
from labeling.location import without_passwords
from potential.bootstrap import FEWEST_PAIRS
from potential.data.dataset import Dataset
from potential.roles import unlearned

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run
    from mlflow.entities.model_registry import ModelVersion

    from potential.calculator import Potential

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST, JUDGEMENT = "weights_digest", "judgement"
CODE = Path(__file__).with_name("committee_model.py")
POTENTIAL = "potential"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A potential to register.

    Attributes:
        potential: its folder.
        digest: of its weights.
        held_out: labels that it was not trained on.
        metrics: of that round; they are tied to the version.
        step: labels that it learned from.
        description: what people read.
    """

    potential: Path
    digest: str
    held_out: Dataset
    metrics: Sequence[Metric]
    step: int
    description: str


def register(client: MlflowClient, name: str, run: Run, candidate: Candidate) -> ModelVersion:
    """Have the candidate as a version of the model `name`, and judge it against the champion.

    The version that the run has registered with the same weights is taken as it is.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description="NequIP committees made by alnico.")
    for known in client.search_model_versions(f"name = '{name}'"):
        same = known.tags.get(DIGEST) == candidate.digest and known.run_id == run.info.run_id
        if same and logged_model_of(known) is not None:
            if JUDGEMENT not in known.tags:  # it was stopped before
                judge(client, name, known, candidate)
            return known
    model_id = _log_model(client, run, candidate)
    made = client.create_model_version(
        name,
        f"models:/{model_id}",
        run.info.run_id,
        tags={DIGEST: candidate.digest},
        description=candidate.description,
        model_id=model_id,
    )
    judge(client, name, made, candidate)
    return made


def judge(client: MlflowClient, name: str, new: ModelVersion, candidate: Candidate) -> str:
    """Make `new` the champion if its campaign says so or it is better beyond doubt, else the challenger.

    Returns why, in words.
    """
    champion = holder(client, name, CHAMPION)
    promoted, why = _judgement(client, champion, new, candidate)
    client.set_registered_model_alias(name, CHAMPION if promoted else CHALLENGER, str(new.version))
    challenger = holder(client, name, CHALLENGER)
    if promoted and challenger is not None and int(challenger.version) <= int(new.version):
        client.delete_registered_model_alias(name, CHALLENGER)
    client.set_model_version_tag(name, str(new.version), JUDGEMENT, why)
    return why


def holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version with an alias."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None


def verdict_on(candidate: Candidate, champion: Path) -> tuple[bool, str]:
    """Whether a potential is better than the one in `champion` beyond the error bar, and that in words."""
    from potential.evaluation import evaluate
    from potential.evaluator import Evaluator
    from potential.package import load_card, load_potential

    if load_card(champion).get("reference") != load_card(candidate.potential).get("reference"):
        return False, "not compared: the champion is of another level of theory"
    fair = unlearned(champion, candidate.held_out)
    if fair is None:
        return False, "not compared: the champion does not say what it learned from"
    if len(fair) < FEWEST_PAIRS:
        few = f"{len(fair)} labels that neither has learned from"
        return False, f"not compared: {few} are too few ({FEWEST_PAIRS} needed)"
    try:
        mine, theirs = (
            frame_errors(evaluate(Evaluator(load_potential(folder)), fair).atoms)
            for folder in (candidate.potential, champion)
        )
    except ValueError as error:
        return False, f"not compared: {error}"
    difference = mae_difference(mine, theirs)
    assert difference is not None, "both were measured on the same frames"
    shown = [1000 * x for x in (difference.value, difference.low, difference.high)]
    said = "force MAE less the champion's {:+.1f} meV/Å, 95 % interval {:+.1f} to {:+.1f}".format(*shown)
    said += f", on {len(fair)} labels that neither has learned from"
    if difference.high < 0:
        return True, f"better beyond the error bar: {said}"
    return False, f"not better beyond the error bar: {said}"


def logged_model_of(found: ModelVersion) -> str | None:
    """The id of the model that a version is; None for versions of alnico 0.1, which were folders of runs."""
    kind, _, model_id = str(found.source).partition(":/")
    return model_id if kind == "models" else None


def potential_of(client: MlflowClient, found: ModelVersion, into: Path) -> Path | None:
    """Download the potential of a version; None where it has none."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    model_id = logged_model_of(found)
    if model_id is None:
        return None
    try:
        location = client.get_logged_model(model_id).artifact_location
        uri = f"{location}/artifacts/{POTENTIAL}"
        path = download_artifacts(uri, dst_path=str(into), tracking_uri=client.tracking_uri)
    except (MlflowException, OSError):
        return None
    return Path(path)


def load_champion(
    name: str, *, alias: str = CHAMPION, tracking_uri: str | None = None, device: str = "cpu"
) -> Potential:
    """A registered potential as an ASE calculator; no code of the registry is run.

        atoms.calc = load_champion("ethanol")

    Args:
        name: the campaign's.
        alias: `champion` or `challenger`.
        tracking_uri: default: MLFLOW_TRACKING_URI, else `campaigns/mlflow.db`.

    Raises:
        LookupError: if there is no such potential.
    """
    from mlflow import MlflowClient

    from potential.calculator import Potential

    uri = tracking_uri or default_tracking_uri(Path("campaigns"))
    client = MlflowClient(tracking_uri=uri)
    found = holder(client, name, alias)
    with tempfile.TemporaryDirectory() as into:
        folder = None if found is None else potential_of(client, found, Path(into))
        if folder is None:
            where = without_passwords(uri)
            raise LookupError(f"{where} has no model {name} with alias {alias}; run its campaign to the end")
        return Potential.load(folder, device=device)


def _judgement(
    client: MlflowClient, champion: ModelVersion | None, new: ModelVersion, candidate: Candidate
) -> tuple[bool, str]:
    if champion is None or champion.version == new.version:
        return True, "the first"
    if champion.run_id == new.run_id:
        return True, "of the champion's own campaign, which chose it among its rounds"
    with tempfile.TemporaryDirectory() as into:
        theirs = potential_of(client, champion, Path(into))
        if theirs is None:
            return True, "the champion is not there to be compared: a version of alnico before kept none"
        return verdict_on(candidate, theirs)


def _log_model(client: MlflowClient, run: Run, candidate: Candidate) -> str:
    """The id of a logged model, an output of the run."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of type hints of MLflow's own
        from mlflow.pyfunc import save_model

    run_id = run.info.run_id
    logged: Any = client.create_logged_model(
        run.info.experiment_id, name="committee", source_run_id=run_id, model_type="NequIP committee"
    )
    with tempfile.TemporaryDirectory() as scratch:
        model, potential = Path(scratch) / "model", Path(scratch) / POTENTIAL
        # MLflow takes a path for a URI, in which `#`, `?` and `%` of a folder's name mean something else
        shutil.copytree(candidate.potential, potential)
        save_model(
            str(model),
            python_model=str(CODE),
            artifacts={POTENTIAL: str(potential)},
            pip_requirements=[f"alnico=={alnico_version()}"],
            mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(model))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, candidate.step)])
    tied = [_tied(metric, logged.model_id, run_id) for metric in candidate.metrics]
    client.log_batch(run_id, metrics=tied)
    return str(logged.model_id)


def _tied(metric: Metric, model_id: str, run_id: str) -> Metric:
    from mlflow.entities import Metric

    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=model_id, run_id=run_id)
