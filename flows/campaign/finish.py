"""What a campaign hands over: the champion with its model card, and the report."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from exploration.settings import FramesConfig, XtbMD
from flows.record.ending import EVERY_ROUND
from flows.record.folder import CampaignFolder
from flows.record.frozen import frozen_frames
from flows.record.results import EvaluationSummary, RoundResult
from flows.record.subject import subject_of
from flows.record.table import PUBLISH
from flows.steps.step import step
from flows.steps.train import weights_digest
from flows.tracking.tracker import Tracker
from flows.views.pretraining import pretraining_facts
from flows.views.report import write_report
from flows.views.summary import champion_line, champion_round
from potential.data.charge_states import in_words
from potential.known_environments import KnownEnvironments
from potential.metrics import BASIC, METRICS, Metric
from potential.package import load_card, load_potential, save_potential
from potential.roles import Roles

PACKAGES = ("alnico", "torch", "e3nn", "pyscf", "ase", "prefect")


def finish(folder: CampaignFolder, *, up_to: int, tracker: Tracker) -> None:
    """Publish the champion of rounds 0 to `up_to` as `potential/`, write the report, close the run."""
    publish(folder, folder.results(up_to=up_to))
    write_report(folder)
    tracker.log_end()


def pause(folder: CampaignFolder, *, tracker: Tracker) -> None:
    """Show what there is: rounds are left, and another run goes on with them."""
    write_report(folder)
    tracker.log_pause()


@step("publish", "publish potential")
def publish(folder: CampaignFolder, results: list[RoundResult]) -> None:
    """Copy the champion to `potential/` with its full model card.

    It was chosen on held-out labels, so that its errors on the frozen test set are a fair estimate.
    """
    champion = champion_round(results)
    source = folder.round(champion.round).potential
    card = model_card(folder, champion, results)
    frozen = [frame.id for frame in frozen_frames(folder)]

    def make(into: Path) -> None:
        save_potential(into, load_potential(source), card)
        if (roles := Roles.load(source)) is not None:
            Roles.made(train=roles.ids("train"), held_out=roles.ids("held_out"), test=frozen).save(into)
        if (known := KnownEnvironments.load(source)) is not None:
            known.save(into)
        if (found := champion.calibration) is not None and found.calibration is not None:
            found.calibration.save(into)

    inputs = {"weights": weights_digest(source), "card": json.loads(json.dumps(card))}
    PUBLISH.run(folder.potential, inputs, make)


def model_card(folder: CampaignFolder, champion: RoundResult, results: list[RoundResult]) -> dict[str, Any]:
    """Where the potential comes from, how good it is, and where it may be trusted."""
    config = folder.config
    return {
        "name": config.name,
        "champion": champion_line(results).removeprefix("champion: "),
        "computes": in_words(subject_of(folder)),
        "reference": {"level of theory": config.level.name} | config.level.model_dump(mode="json"),
        "data": {
            "labels": champion.n_labels,
            "training": champion.training.n_train,
            "validation": champion.training.n_validation,
            "fingerprint": champion.training.fingerprint,
            "test frames": champion.test.n_frames,
            "test fingerprint": champion.evaluation.fingerprint,
        },
        "test errors": errors_of(champion.evaluation),
        "95 % intervals of the test errors": intervals_of(champion.evaluation),
        **({} if champion.broad is None else {"broad test errors": errors_of(champion.broad)}),
        EVERY_ROUND: [1000 * result.test.force_mae for result in results],
        "domain": {
            "structure": config.structure.molecule or ", ".join(path.name for path in config.structure.files),
            "temperatures of the initial frames, K": temperatures(config.initial.source),
            "temperatures of the test frames, K": temperatures(config.test.source),
            "temperatures of the exploration, K": list(config.exploration.temperatures_K),
        },
        "pretraining": pretraining_facts(folder) or "none, from random weights",
        # How it ran while it was trained; the round's own card says it, but for those of older versions.
        "backend": load_card(folder.round(champion.round).potential).get("backend", "not recorded"),
        "versions": {package: version(package) for package in PACKAGES},
    }


def errors_of(found: EvaluationSummary) -> dict[str, float | None]:
    """Every metric of a test by its title and unit."""
    values = found.values()
    numbers = {metric: values.get(metric.name) for metric in (*BASIC, *METRICS)}
    return {
        _with_unit(metric): None if value is None else metric.factor * value
        for metric, value in numbers.items()
        if value is not None or metric in BASIC
    }


def intervals_of(found: EvaluationSummary) -> dict[str, list[float]]:
    """Of these over the test frames, by bootstrap."""
    return {
        _with_unit(metric): [metric.factor * bound for bound in found.intervals[metric.name]]
        for metric in (*BASIC, *METRICS)
        if metric.name in found.intervals
    }


def _with_unit(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def temperatures(source: FramesConfig) -> list[float] | str:
    """Of frames made by molecular dynamics; else how they were made."""
    match source:
        case XtbMD():
            return list(source.temperatures_K)
        case _:
            return f"none, made by {source.method}"
