"""The report of a campaign: one HTML file that holds everything it shows, made from the folder alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flows.errors import DamagedFileError
from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.rounds import RoundFolder
from flows.record.subject import subject_line
from flows.views.agreement import agreement_line
from flows.views.calibration import calibration_table
from flows.views.changes import changes_of
from flows.views.drawings import campaign_drawings, round_drawings
from flows.views.duration import duration
from flows.views.elements import element_table
from flows.views.label_costs import cost_table, label_costs, label_outcomes
from flows.views.methods import citations, methods
from flows.views.pretraining import pretraining_facts, read_guard, read_pretrain, read_teach
from flows.views.selection import selection_table
from flows.views.structures import (
    error_rows,
    largest_errors,
    shown_structures,
    start_of,
    structure_picture,
    viewer,
)
from flows.views.summary import champion_line, champion_round, more_metrics, round_table, verdict
from potential.data.atomic_write import write_atomically
from potential.data.tables import FORCES_OF_ATOMS, read_table

ELSEWHERE = ("methods", "BibTeX")
"""Of the model card: what the report shows in a section of its own."""
CAPTIONS = {
    "ledger": "Exploration: frames by verdict of the committee. The share on which the members agree should "
    "grow. It says that they agree, not that they are right: the calibration says what error to expect.",
    "cost": "Where the time went.",
    "force_parity": "Forces on the test set: committee mean against the reference.",
    "energy_parity": "Energies on the test set, with the disagreement of the members.",
    "disagreement_and_error": "Does the committee know when it is wrong? Each point is a test atom.",
    "reliability": "Reliability: root mean squared force error of a component against the expected one, in "
    "bins of equally many test atoms. On the line it is as large as expected.",
    "training_history": "Training.",
    "md_survival": "Exploration: how long each replica ran, and how warm it was.",
}


def write_report(
    folder: CampaignFolder, into: Path | None = None, *, frequencies: Sequence[Mapping[str, str]] = ()
) -> Path:
    """Write `report.html` of a campaign, also while it is not finished.

    Args:
        into: the file; default: in the campaign's folder.
        frequencies: rows of a table of normal modes, where they were asked for.
    """
    config = folder.config.model_dump(mode="json")
    results, costs, cited = folder.results(), label_costs(folder), citations(folder)
    finished = [arm.round(result.round) for arm in folder.arms for result in arm.whole_results()]
    rounds = {str(here): here for here in finished}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    errors = _largest_errors(folder, results)
    structures = shown_structures(folder, folder.main.begun(), errors)
    titles = {structure["id"]: structure["title"] for structure in structures}
    overall = {name: _address(drawing) for name, drawing in campaign_drawings(folder).items()}
    page = environment.get_template("report.html.jinja").render(
        name=config["name"],
        subject=subject_line(folder),
        verdict=verdict(results),
        agreement=agreement_line(folder, champion_round(results)) if results else None,
        table=round_table(results),
        champion=champion_line(results) if results else None,
        best=champion_round(results).round if results else None,
        totals=_totals(folder, results, costs),
        learning_curve=overall.pop("learning_curve", None),
        overall=overall,
        rounds={n: {k: _address(d) for k, d in round_drawings(p).items()} for n, p in rounds.items()},
        captions=CAPTIONS,
        selection=_selections(rounds),
        selection_warnings=_warnings(rounds),
        failures=_failures(folder),
        costs=cost_table(costs),
        level=_rows(config.get("level", {})),
        settings={key: _rows(value) for key, value in config.items() if isinstance(value, dict)},
        plain=_rows({key: value for key, value in config.items() if not isinstance(value, dict)}),
        more=more_metrics(results),
        pretraining=pretraining_facts(folder),
        calibration=calibration_table(results),
        beside={arm.name: round_table(arm.results()) for arm in folder.arms[1:] if arm.results()},
        potential=str(folder.potential.resolve()) if folder.potential.exists() else None,
        card=_card(folder.model_card),
        changes=changes_of(folder),
        start=next((structure_picture(frame) for frame in start_of(folder)[:1]), None),
        structures=structures,
        viewer=viewer() if structures else "",
        space=overall.pop("space", None),
        elements=[] if errors is None else element_table(_champions_atoms(folder, results)),
        errors=[] if errors is None else error_rows(errors, titles),
        frequencies=frequencies,
        methods=methods(folder, results),
        bibtex=cited.bibtex(),
        uncited=cited.unknown,
    )
    file = into or folder.report
    write_atomically(file, page)
    return file


def _address(drawing: str) -> str:
    """An SVG as the address of an image that needs no file."""
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def _champions_atoms(folder: CampaignFolder, results: list[RoundResult]) -> pd.DataFrame:
    table = folder.round(champion_round(results).round).test_atoms
    return read_table(table, needs=(*FORCES_OF_ATOMS, "symbol", "atom", "force_error"))


def _largest_errors(folder: CampaignFolder, results: list[RoundResult]) -> pd.DataFrame | None:
    """Of the champion on the frozen test; None without its table."""
    if not results or not (here := folder.round(champion_round(results).round)).test_atoms.exists():
        return None
    frames = read_table(here.test_errors, needs=("frame_id",)) if here.test_errors.exists() else None
    return largest_errors(_champions_atoms(folder, results), frames)


def _totals(folder: CampaignFolder, results: list[RoundResult], costs: pd.DataFrame) -> dict[str, str]:
    if not results:
        return {}
    last, learned = results[-1], read_pretrain(folder)
    stages = (read_teach(folder), learned, read_guard(folder))
    before = sum(stage.seconds for stage in stages if stage is not None)
    taught = {"time in pretraining": duration(before)} if learned is not None else {}
    return {
        "labels to learn from": f"{last.n_labels}",
        "frozen test frames": f"{last.test.n_frames}",
        "label failures": f"{sum(r.labels.n_failed for r in results if r.labels)}",
        **taught,
        "time in labelling": duration(float(costs["total"].sum())),
        "time in training": duration(sum(r.training.seconds for r in results)),
    }


def _selections(rounds: Mapping[str, RoundFolder]) -> list[dict[str, str]]:
    return selection_table({title: _read_table(here.selection) for title, here in rounds.items()})


def _warnings(rounds: Mapping[str, RoundFolder]) -> dict[str, list[str]]:
    """What selection warned of, by round."""
    files = {title: here.selection_warnings for title, here in rounds.items()}
    said = {t: file.read_text(encoding="utf-8").splitlines() for t, file in files.items() if file.exists()}
    return {title: warnings for title, warnings in said.items() if warnings}


def _failures(folder: CampaignFolder) -> list[dict[str, str]]:
    """Every frame without a label, with what went wrong and what to do, of all rounds."""
    rows = []
    for place, _, path in label_outcomes(folder):
        for row in _read_table(path).to_dict("records"):
            if row["outcome"] == "failed":
                rows.append({"where": place} | {k: row[k] for k in ("frame_id", "kind", "message", "advice")})
    return rows


def _rows(settings: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as one flat table."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            rows |= _rows(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            )
    return rows


def _card(path: Path) -> dict[str, str]:
    try:
        card = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return _rows({key: value for key, value in card.items() if key not in ELSEWHERE})
    except (ValueError, TypeError, AttributeError):
        raise DamagedFileError(
            f"{path} is damaged; delete {path.parent}, and `alnico run` publishes the potential anew"
        ) from None


def _read_table(path: Path) -> pd.DataFrame:
    """All cells as text, as they are shown; empty where there is no table."""
    if not path.exists() or path.stat().st_size < 2:
        return pd.DataFrame()
    return read_table(path, as_text=True)
