"""Calibrate a committee, and try it on labels that have just arrived: a Prefect task each, done once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.record.folder import CampaignFolder
from flows.record.results import SUMMARY_FILE, ArrivedSummary, CalibrationSummary, ErrorMetrics
from flows.record.rounds import RoundFolder
from flows.record.stages import read_manifest
from flows.record.table import ARRIVED, CALIBRATE
from flows.steps.step import step
from flows.steps.train import load_committee, weights_digest
from flows.views.calibration import arrived_line, calibration_line
from flows.views.console import say
from potential.calibration.calibration import Calibration
from potential.calibration.fit import fit_calibration
from potential.calibration.pairs import Pairs
from potential.calibration.scores import score_calibration
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.data.tables import FORCES_OF_ATOMS, read_table
from potential.evaluation import evaluate

ATOMS = "atoms.csv"


@step("calibrate", "calibrate {here}")
def calibrate(campaign: CampaignFolder, here: RoundFolder, held_out: Dataset) -> CalibrationSummary:
    """Fit expected errors on labels that no member trained on; score them on the frozen tests.

    Those are the labels held out of this round's training, and the last round's new labels, as its
    committee scored them before anything learned from them.
    """
    before = here.previous.arrived / ATOMS if here.number > 0 else None
    tests = {name: path for name, path in here.tests().items() if path.exists()}
    inputs = {
        "potential": weights_digest(here.potential),
        "held_out": held_out.fingerprint,
        "arrived": _digest_of(before),
        "tests": {name: _digest_of(path) for name, path in tests.items()},
        "bound": campaign.config.exploration.telling_error,
    }

    def make(into: Path) -> None:
        tables = [] if before is None or not before.exists() else [read_table(before, needs=FORCES_OF_ATOMS)]
        n_arrived = tables[0]["frame_id"].nunique() if tables else 0
        if len(held_out):
            tables.append(evaluate(load_committee(campaign, here), held_out).atoms)
        pairs = Pairs.joined([Pairs.of(table) for table in tables])
        found = fit_calibration(pairs)
        summary = CalibrationSummary(
            calibration=found,
            n_held_out=len(held_out),
            n_arrived=n_arrived,
            scores={}
            if found is None
            else {
                name: score_calibration(
                    found,
                    Pairs.of(read_table(path, needs=FORCES_OF_ATOMS)),
                    bound_eV_per_A=campaign.config.exploration.telling_error,
                )
                for name, path in tests.items()
            },
        )
        atoms = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["frame_id"])
        atoms.to_csv(into / ATOMS, index=False)
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))

    CALIBRATE.run(here.calibrate, inputs, make)
    summary = CalibrationSummary.model_validate_json((here.calibrate / SUMMARY_FILE).read_text())
    say(f"  {calibration_line(summary)}")
    return summary


@step("score new labels", "score new labels of {here}")
def score_arrived(
    campaign: CampaignFolder, here: RoundFolder, labelled: Dataset, calibration: Calibration | None
) -> ArrivedSummary:
    """Errors of the round's committee and its calibration on labels that nothing has learned from yet."""
    inputs = {
        "potential": weights_digest(here.potential),
        "labels": labelled.fingerprint,
        "calibration": None if calibration is None else calibration.model_dump(mode="json"),
    }

    def make(into: Path) -> None:
        found = evaluate(load_committee(campaign, here), labelled)
        found.atoms.to_csv(into / ATOMS, index=False)
        pairs = Pairs.of(found.atoms)
        summary = ArrivedSummary(
            errors=ErrorMetrics(**{name: getattr(found, name) for name in ErrorMetrics.model_fields}),
            scores=None
            if calibration is None or not len(pairs)
            else score_calibration(
                calibration, pairs, bound_eV_per_A=campaign.config.exploration.telling_error
            ),
        )
        write_atomically(into / SUMMARY_FILE, summary.model_dump_json(indent=2))

    ARRIVED.run(here.arrived, inputs, make)
    summary = ArrivedSummary.model_validate_json((here.arrived / SUMMARY_FILE).read_text())
    say(f"  {arrived_line(summary)}")
    return summary


def _digest_of(table: Path | None) -> str | None:
    """Of a table that a finished stage left."""
    manifest = None if table is None else read_manifest(table.parent)
    return None if table is None or manifest is None else manifest.outputs[table.name]
