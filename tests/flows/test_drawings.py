"""Figures are drawn once, kept as files, and drawn anew where what they show has changed."""

import base64
import shutil
from pathlib import Path

import pandas as pd
import pytest

from flows.record.folder import CampaignFolder
from flows.views.drawings import RECORD, campaign_drawings, round_drawings
from flows.views.report import write_report


def test_the_report_shows_the_files(first_round_only: Path):
    """Every drawing has random names in it, so one that is the same was not drawn twice."""
    folder = CampaignFolder.open(first_round_only)
    drawings = {**campaign_drawings(folder), **round_drawings(folder.round(0))}
    assert {"learning_curve", "force_parity", "reliability"} <= set(drawings)
    files = [*folder.figures.glob("*.svg"), *folder.round(0).figures.glob("*.svg")]
    assert {file.stem: file.read_text() for file in files} == drawings
    report = write_report(folder).read_text()
    assert all(base64.b64encode(drawing.encode()).decode() in report for drawing in drawings.values())


@pytest.mark.parametrize("change", ["a table", "a figure is gone", "the record is damaged"])
def test_drawn_anew(first_round_only: Path, change: str):
    here = CampaignFolder.open(first_round_only).round(0)
    here.replicas.unlink()
    here.history.unlink()
    here.test_errors.unlink()  # three figures fewer to draw
    before = round_drawings(here)
    if change == "a table":
        atoms = pd.read_csv(here.test_atoms, dtype={"frame_id": str})
        atoms.assign(fx=atoms["fx"] + 0.1).to_csv(here.test_atoms, index=False)
    elif change == "a figure is gone":
        (here.figures / "reliability.svg").unlink()
    else:
        (here.figures / RECORD).write_text('{"inputs": ')
    after = round_drawings(here)
    assert list(after) == list(before) == ["force_parity", "disagreement_and_error", "reliability"]
    assert all(after[name] != before[name] for name in before)
    assert round_drawings(here) == after


def test_a_folder_that_cannot_be_written_has_its_drawings_all_the_same(first_round_only: Path):
    folder = CampaignFolder.open(first_round_only)
    shutil.rmtree(folder.figures)
    folder.figures.touch()  # a file: root may write wherever a mode forbids it
    assert list(campaign_drawings(folder))[:3] == ["learning_curve", "ledger", "cost"]
