"""Quarantine on a Lennard-Jones campaign with one frame that a check rejects."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from prefect import flow

from flows.cli.app import run_command
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.rounds import read_outcomes
from flows.record.table import FIRST_LABELS, LABEL
from flows.settings.yaml_file import load_config
from flows.steps.labels import label_frames, labelled_frames, returning_frames, take_in_spool
from labeling import database, spool
from labeling.failure import LabelFailure
from labeling.isolated_atoms import isolated_atom_energies
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from labeling.task import open_workers
from potential.data.frame import Frame
from potential.data.structure_files import write_frames
from potential.package import load_potential

LEVEL = LennardJonesLevel()


def squeezed(frame: Frame, distance_A: float) -> Frame:
    positions = frame.positions.copy()
    positions[0] = positions[1] + [distance_A, 0.0, 0.0]
    return frame.moved(positions, origin={"squeezed": 1})


@pytest.mark.slow
def test_a_released_label_joins_the_next_round_that_labels(
    tmp_path: Path,
    write_lj_campaign: Callable[..., Path],
    prefect_url: str,
    capsys: pytest.CaptureFixture[str],
):
    from flows.campaign.loop import run_campaign

    good = load_config(write_lj_campaign(tmp_path)).structure.frames()[0]
    bad = squeezed(good, 2.8)  # 1.5 eV/Å on the wall; nothing else comes near
    frames = [good.moved(good.positions * scale) for scale in (0.98, 0.99, 1.0, 1.01, 1.02)]
    write_frames(tmp_path / "mine.extxyz", [*frames, bad])
    path = write_lj_campaign(
        tmp_path,
        initial={"frames": 6, "source": {"method": "file", "path": "mine.extxyz"}},
        labeling={"workers": 1, "checks": {"max_force_eV_per_angstrom": 0.8}},
        training={"max_epochs": 12, "energy_shifts": "isolated_atoms"},
    )
    folder = run_campaign(path)
    assert isolated_atom_energies([18], LabelStore(folder.label_store), folder.config.level) == {18: 0.0}
    assert load_potential(folder.round(0).potential).energy_shifts.tolist() == [0.0]
    before = [(r.n_labels, r.training.fingerprint) for r in folder.results()]
    assert before[0][0] == 5
    capsys.readouterr()

    assert run_command(["quarantine", "list", str(path)]) == 0
    told = capsys.readouterr().out
    assert f"{bad.id}  Ar7  rejected_by_check" in told
    assert "max_force_eV_per_angstrom 1.5" in told
    assert "squeezed 1" in told
    assert "1 in quarantine, 1 of them with numbers" in told
    assert run_command(["quarantine", "release", str(path), bad.id[:6]]) == 0
    assert run_command(["quarantine", "list", str(path)]) == 0
    assert "0 in quarantine" in capsys.readouterr().out

    # Finished rounds are left as they are ...
    run_campaign(path)
    assert [(r.n_labels, r.training.fingerprint) for r in folder.results()] == before
    # ... and the next one that labels takes the released label along.
    shutil.rmtree(folder.round(0).label)
    shutil.rmtree(folder.round(1).path)
    run_campaign(path)
    assert [r.n_labels for r in folder.results()] == [5, before[1][0] + 1]


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """Three frames in quarantine, one of them with numbers."""
    store = LabelStore(tmp_path / "labels.db")
    for i in range(3):
        frame = argon(3.5 + 0.1 * i)
        kind, label = ("rejected_by_check", compute(frame, LEVEL)) if i == 0 else ("timeout", None)
        failure = LabelFailure(frame_id=frame.id, level_key=LEVEL.key, kind=kind, message="no", label=label)  # type: ignore[arg-type]
        store.add_failure(frame, failure)
    return store


def argon(distance_A: float) -> Frame:
    return Frame.of([18, 18], [[0, 0, 0], [0, 0, distance_A]])


def test_a_label_stage_takes_along_what_left_quarantine_and_a_finished_one_what_it_took(
    store: LabelStore, tmp_path: Path
):
    waiting = [argon(3.5), argon(3.6), argon(3.7)]
    stage = tmp_path / "label"
    assert returning_frames(stage, waiting, store, LEVEL) == []
    store.release(argon(3.5).id, LEVEL.key)
    store.forget_failure(argon(3.6).id, LEVEL.key)
    assert returning_frames(stage, waiting, store, LEVEL) == waiting[:2]

    outcomes = pd.DataFrame({"frame_id": [argon(3.5).id], "outcome": ["labelled"]})
    inputs = {"level": LEVEL.key, "frames": "one"}
    LABEL.run(stage, inputs, lambda into: outcomes.to_csv(into / "outcomes.csv", index=False))
    assert returning_frames(stage, waiting, store, LEVEL) == waiting[:1]
    store.add(argon(3.7), compute(argon(3.7), LEVEL))  # after the stage: no part of its dataset
    assert labelled_frames(waiting, outcomes, store, LEVEL).frames == waiting[:1]
    with pytest.raises(CampaignError, match=r"empty.db has no label of 1 of 1 frames that were labelled"):
        labelled_frames(waiting, outcomes, LabelStore(tmp_path / "empty.db"), LEVEL)


def test_relabel_forgets_the_failures_and_leaves_labels(store: LabelStore):
    assert run_command(["quarantine", "release", str(store.path), argon(3.5).id]) == 0
    assert run_command(["quarantine", "relabel", str(store.path), "all"]) == 0
    assert store.counts() == {"labelled": 1}


def test_a_frame_without_numbers_cannot_be_released(store: LabelStore, capsys: pytest.CaptureFixture[str]):
    assert run_command(["quarantine", "release", str(store.path), argon(3.6).id]) == 1
    assert "alnico quarantine relabel" in capsys.readouterr().err
    assert store.counts() == {"rejected_by_check": 1, "timeout": 2}


@pytest.mark.parametrize(
    ("frames", "advice"), [(["f00"], "not in quarantine"), ([""], "3 ids begin with ''; give more digits")]
)
def test_wrong_ids_are_refused(
    store: LabelStore, frames: list[str], advice: str, capsys: pytest.CaptureFixture[str]
):
    assert run_command(["quarantine", "release", str(store.path), *frames]) == 2
    assert advice in capsys.readouterr().err


def test_a_place_without_a_store_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["quarantine", "list", str(tmp_path / "labels.db")]) == 2
    assert "no label store" in capsys.readouterr().err


def test_ids_that_read_as_numbers_stay_ids(store: LabelStore, tmp_path: Path):
    """An id of digits, or one like 12e4567890123456, is text, also where all of a table are such."""
    ids = ["0123456789012345", "12e4567890123456"]
    rows = {
        "frame_id": ids,
        "outcome": ["labelled", "failed"],
        "kind": ["", "timeout"],
        "seconds": [1.0, 2.0],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "outcomes.csv", index=False)
    table = read_outcomes(tmp_path / "outcomes.csv")
    assert list(table["frame_id"]) == ids
    assert list(table["kind"]) == ["", "timeout"]
    assert table["seconds"].sum() == 3.0


def test_a_stage_whose_store_is_locked_keeps_its_labels(
    tmp_path: Path,
    write_lj_campaign: Callable[..., Path],
    prefect_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(database, "BUSY_S", 0.02)
    monkeypatch.setattr(spool, "FIRST_PATIENCE_S", 0.1)
    monkeypatch.setattr(spool, "NEXT_PATIENCE_S", 0.1)
    campaign = CampaignFolder.open(write_lj_campaign(tmp_path))
    store = LabelStore(campaign.label_store, patience_s=0.5)
    frames = [argon(3.5), argon(3.6)]

    @flow
    def stage() -> int:
        with open_workers(campaign.config.labeling.on_a_node):
            take_in_spool(campaign, store)
            tally = label_frames(
                campaign, FIRST_LABELS, campaign.first_labels, frames, store=store, description="labels"
            )
        return len(tally.labelled)

    with closing(sqlite3.connect(store.path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(CampaignError, match="2 labels wait in"):
            stage()
        assert "warning: the label store cannot be written" in capsys.readouterr().out
    assert stage() == 2
    assert "2 labels that waited" in capsys.readouterr().out
    assert {item.label.energy for item in store} == {compute(frame, LEVEL).energy for frame in frames}
