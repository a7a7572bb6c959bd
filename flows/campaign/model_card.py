"""The card of a published potential: where it comes from, how good it is, where it may be trusted."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from exploration.frame_sources import FramesConfig, XtbMD
from flows.record.ending import EVERY_ROUND
from flows.record.folder import CampaignFolder
from flows.record.results import EvaluationSummary, RoundResult
from flows.record.seeds import seed_for
from flows.record.subject import subject_of
from flows.views.methods import citations, methods
from flows.views.pretraining import pretraining_facts
from flows.views.references import References
from flows.views.summary import champion_line
from labeling.rows import LABELLED
from labeling.store import LabelStore, is_there
from potential.data.charge_states import in_words
from potential.metrics import BASIC, METRICS, Metric
from potential.package import load_card

PACKAGES = ("alnico", "torch", "e3nn", "numpy", "ase", "prefect")
BIBTEX = "BibTeX"


def model_card(folder: CampaignFolder, champion: RoundResult, results: list[RoundResult]) -> dict[str, Any]:
    """Where the potential comes from, how good it is, and where it may be trusted."""
    config, cited = folder.at(champion.round), citations(folder)
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
        "training": folder.trained_with(folder.round(champion.round)).model_dump(mode="json"),
        "exploration": config.exploration.model_dump(mode="json"),
        "selection": config.selection.model_dump(mode="json"),
        "initial frames": config.initial.model_dump(mode="json"),
        "test frames": config.test.model_dump(mode="json"),
        "seeds": seeds(folder, champion),
        # How it ran while it was trained; the round's own card says it, but for those of older versions.
        "backend": load_card(folder.round(champion.round).potential).get("backend", "not recorded"),
        "versions": versions(cited),
        "versions that made the labels": label_versions(folder),
        "methods": methods(folder, results),
        BIBTEX: cited.bibtex(),
        **({"no reference is known for": list(cited.unknown)} if cited.unknown else {}),
    }


def seeds(folder: CampaignFolder, champion: RoundResult) -> dict[str, int]:
    """The campaign's seed, and those that follow from it for the champion."""
    seed, number = folder.config.seed, champion.round
    uses = {"training": "train", "held-out labels": "split"}
    return {"campaign": seed} | {what: seed_for(seed, use, number) for what, use in uses.items()}


def versions(cited: References) -> dict[str, str]:
    """Of what computed the potential."""
    used = {"sun2020recent": "pyscf", "tblite": "tblite"}
    packages = [*PACKAGES, *(package for key, package in used.items() if key in cited.keys)]
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


def label_versions(folder: CampaignFolder) -> dict[str, str]:
    """What the labels say that they were made with; several versions where several made them."""
    if not is_there(folder.label_store):
        return {}
    found: dict[str, set[str]] = {}
    for row in LabelStore(folder.label_store).rows(folder.config.level.key, LABELLED):
        for package, its in dict(row.label.provenance.get("versions", {})).items():
            found.setdefault(package, set()).add(str(its))
    return {package: ", ".join(sorted(its)) for package, its in sorted(found.items())}


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
