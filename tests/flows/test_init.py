"""`alnico init`: from a name, files or SMILES to a campaign.yaml."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk

from flows.cli.app import run_command
from flows.settings.yaml_file import load_config
from labeling.presets import PRESETS
from potential.data.molecules import molecule
from potential.data.structure_files import read_frames, write_frames


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_several_files_are_written_as_they_were_given(here: Path) -> None:
    (here / "structures").mkdir()
    for name in ("H2O", "CH3OH"):
        write_frames(here / "structures" / f"{name}.xyz", [molecule(name)])
    files = ["structures/H2O.xyz", "structures/CH3OH.xyz"]
    assert run_command(["init", *files]) == 0
    assert yaml.safe_load(Path("campaign.yaml").read_text())["structure"]["files"] == files
    assert [frame.formula for frame in load_config(Path("campaign.yaml")).structure.frames()] == [
        "H2O",
        "CH4O",
    ]


def test_paths_are_relative_to_the_file_that_has_them(here: Path) -> None:
    write_frames(here / "H2O.xyz", [molecule("H2O")])
    (here / "study").mkdir()
    assert run_command(["init", "H2O.xyz", "--file", "study/campaign.yaml"]) == 0
    written = yaml.safe_load(Path("study/campaign.yaml").read_text())
    assert written["structure"]["files"] == ["../H2O.xyz"]
    absolute = str(here / "H2O.xyz")
    assert run_command(["init", absolute, "--file", "study/campaign.yaml", "--force"]) == 0
    assert yaml.safe_load(Path("study/campaign.yaml").read_text())["structure"]["files"] == [absolute]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["ethanol", "water.xyz"], "one molecule by its name"),
        (["ethanol", "methanol"], "one molecule by its name"),
        (["ethanol", "--smiles", "CCO"], "not both"),
        (["ethanol", "--conformers", "3"], "of --smiles alone"),
    ],
)
def test_what_cannot_be_one_campaign(
    given: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["init", *given]) == 2
    assert said in capsys.readouterr().err
    assert not list(here.iterdir())


def test_there_is_no_report_before_the_first_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["init", "H2O"]) == 0
    assert run_command(["report", "campaign.yaml"]) == 2
    assert "has not run yet" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["campaign.yaml"]


def test_a_mistyped_preset_is_one_problem(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["init", "H2O", "--preset", "prodution"]) == 2
    said = capsys.readouterr().err
    assert "1 problem" in said
    assert "did you mean production?" in said


@pytest.mark.parametrize(
    ("preset", "cubic", "mesh"), [("cheap_crystal", True, (2, 2, 2)), ("crystal", False, (3, 3, 3))]
)
def test_a_small_cell_gets_k_points_by_its_thickness(
    preset: str, cubic: bool, mesh: tuple[int, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planes of diamond are 3.57 Å apart in the cubic cell, 2.06 Å in the primitive one."""
    bulk("C", "diamond", 3.57, cubic=cubic).write(here / "diamond.cif")
    assert run_command(["init", "diamond.cif", "--preset", preset]) == 0
    level = load_config(Path("campaign.yaml")).level
    assert level == PRESETS[preset]().model_copy(update={"k_mesh": mesh})
    assert f"k-points {'x'.join(map(str, mesh))}: 6 Å or more" in capsys.readouterr().out


def test_conformers_of_smiles(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    assert run_command(["init", "--smiles", "CCCO", "--conformers", "6", "--name", "propanol"]) == 0
    frames = read_frames("propanol.extxyz")
    assert f"propanol.extxyz: {len(frames)} conformers" in capsys.readouterr().out
    assert 2 <= len(frames) <= 6
    assert {frame.formula for frame in frames} == {"C3H8O"}
    config = load_config(Path("campaign.yaml"))
    assert config.name == "propanol"
    assert [frame.id for frame in config.structure.frames()] == [frame.id for frame in frames]
    spread = [np.linalg.norm(frame.positions[0] - frame.positions[3]) for frame in frames]
    assert np.ptp(spread) > 0.3  # gauche and anti
    assert run_command(["init", "--smiles", "CCCO", "--name", "propanol", "--file", "again.yaml"]) == 2
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("smiles", "formula", "charge", "spin"),
    [("CC(=O)[O-]", "C2H3O2", -1, 0), ("C[CH2]", "C2H5", 0, 1), ("[NH4+]", "H4N", 1, 0)],
)
def test_smiles_say_charge_and_spin(smiles: str, formula: str, charge: int, spin: int) -> None:
    pytest.importorskip("rdkit")
    from potential.data.smiles import conformers

    (frame,) = conformers(smiles)
    assert (frame.formula, frame.charge, frame.spin) == (formula, charge, spin)
    assert conformers(smiles)[0].id == frame.id


def test_text_that_is_no_smiles_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    assert run_command(["init", "--smiles", "C(C"]) == 2
    assert "'C(C' is no SMILES" in capsys.readouterr().err


def test_without_rdkit_it_is_said_what_to_install(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert run_command(["init", "--smiles", "CCO"]) == 1
    assert "pip install 'alnico[smiles]'" in capsys.readouterr().err
