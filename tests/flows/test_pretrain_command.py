"""`alnico pretrain` and `alnico train --pretrain` with GFN2-xTB: what they leave, and that they go on."""

import fcntl
from pathlib import Path

import numpy as np
import pytest

from flows.cli.app import run_command
from labeling.ase_labeler import compute
from labeling.ase_level import AseLevel
from potential.data.dataset import LabelledFrame
from potential.data.role import tagged
from potential.data.structure_files import molecule, read_dataset, write_frames
from potential.package import load_card, load_potential

TINY = """
name: tiny
structure: {molecule: H2O}
level: {labeler: pyscf}
initial: {frames: 1, source: {method: displacement}}
test: {frames: 1, source: {method: displacement}}
model: {num_layers: 1, l_max: 0, num_features: 2, committee_size: 2, r_max: 3.0}
training: {max_epochs: 2, validation_fraction: 0}
pretraining: {frames: 40, max_steps: 8, dynamics: {temperatures_K: [500], walkers: 2, equilibration_fs: 20}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign's settings, water, and four frames of it with labels of GFN1-xTB."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    water, rng = molecule("H2O"), np.random.default_rng(0)
    level = AseLevel(calculator="tblite.ase.TBLite", parameters={"method": "GFN1-xTB"})
    frames = [water.moved(water.positions + rng.normal(0, 0.05, (3, 3))) for _ in range(4)]
    write_frames(tmp_path / "water.xyz", [water])
    write_frames(
        tmp_path / "labelled.extxyz", [LabelledFrame(frame=f, label=compute(f, level)) for f in frames]
    )
    return tmp_path


def test_many_campaigns_can_begin_from_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pretrain", "water.xyz", "--campaign", "tiny.yaml", "--output", "shared"]
    assert run_command(command) == 0
    said = capsys.readouterr().out
    made = folder / "shared" / "pretrain" / "potential"
    assert f"pretraining: {{from: {made}}}" in said
    assert "that were held out" in said
    assert load_potential(made).numbers.tolist() == [1, 8]
    assert load_card(made)["reference"]["parameters"]["method"] == "GFN2-xTB"
    weights = made / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_command(command) == 0
    assert weights.stat().st_mtime_ns == before


def test_training_begins_from_what_the_teacher_taught(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "labelled.extxyz", "--campaign", "tiny.yaml", "--output", "potential", "--pretrain"]
    assert run_command(train) == 0
    assert " frames of TBLite(method=GFN2-xTB)" in capsys.readouterr().out
    taught = load_potential(folder / "potential" / "pretraining" / "pretrain" / "potential")
    tuned = load_potential(folder / "potential")
    moved = [(a - b).abs().max().item() for a, b in zip(taught.parameters(), tuned.parameters(), strict=True)]
    assert 0 < max(moved) < 0.05  # two steps of at most 0.005 away


def test_a_few_frames_that_differ_are_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two atoms have one distance, so many frames are alike; fewer than twenty are left."""
    write_frames(folder / "h2.xyz", [molecule("H2")])
    command = ["pretrain", "h2.xyz", "--campaign", "tiny.yaml", "--output", "shared", "--frames", "20"]
    assert run_command(command) == 0
    assert "on 1 that were held out" in capsys.readouterr().out


def test_nothing_is_taught_of_a_frozen_test(folder: Path) -> None:
    """Its molecule has an element that the training has not."""
    level = AseLevel(calculator="tblite.ase.TBLite", parameters={"method": "GFN1-xTB"})
    sulfide = molecule("SH2")
    learned = read_dataset(folder / "labelled.extxyz", level.key).items
    tested = LabelledFrame(frame=sulfide, label=compute(sulfide, level))
    write_frames(folder / "both.extxyz", tagged([tested, *learned], {sulfide.id: "test"}))
    train = ["train", "both.extxyz", "--campaign", "tiny.yaml", "--output", "potential", "--pretrain"]
    assert run_command(train) == 0
    for made in ("potential", "potential/pretraining/pretrain/potential"):
        assert load_potential(folder / made).numbers.tolist() == [1, 8]


def test_impossible_settings_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["pretrain", "water.xyz", "--frames", "3"]) == 2
    assert "frames" in capsys.readouterr().err
    assert run_command(["pretrain", "nothing.xyz"]) == 2


def test_structures_that_one_model_cannot_learn_are_told_before_the_teacher_walks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ASE's G2 set has methylene as a singlet and as a triplet."""
    states = [molecule(name) for name in ("CH2_s1A1d", "CH2_s3B1d")]
    write_frames(folder / "methylene.xyz", states)
    assert run_command(["pretrain", "methylene.xyz", "--output", "methylene"]) == 2
    assert "CH2 comes with charge +0, spin 0" in capsys.readouterr().err
    assert not (folder / "methylene").exists()


@pytest.mark.parametrize(
    ("command", "locked"),
    [
        (["pretrain", "water.xyz", "--campaign", "tiny.yaml", "--output", "here"], "here"),
        (["train", "labelled.extxyz", "--campaign", "tiny.yaml", "--output", "here"], "here/training"),
    ],
)
def test_two_at_once_in_one_folder_are_refused(
    command: list[str], locked: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / locked).mkdir(parents=True)
    with (folder / locked / "campaign.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert run_command(command) == 1
    assert f"{locked} is in use by another process" in capsys.readouterr().err
