"""The command line: help, exit codes, and the first steps to a campaign."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk

from flows.cli import campaign_commands, tool_commands
from flows.cli.app import run_command
from flows.settings.yaml_file import load_config
from labeling.presets import PRESETS
from potential.data.frame import Frame
from potential.data.structure_files import write_frames

COMMANDS = [command.__name__ for command in (*campaign_commands.COMMANDS, *tool_commands.COMMANDS)]


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys\nfrom flows.cli.app import run_command\nrun_command(['--help'])\n"
        "print([m for m in ('torch', 'prefect', 'mlflow', 'pyscf', 'ase', 'numpy') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("[]\n")
    assert all(f" {command} " in said for command in COMMANDS)


def test_status_and_report_do_not_wait_for_torch():
    code = (
        "import sys, flows.views.status, flows.views.report\n"
        "print([m for m in ('torch', 'mlflow', 'pyscf') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    assert run_command([command, "--help"]) == 0
    assert f"alnico {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["rum", "campaign.yaml"],
        ["run"],
        ["run", "no_such_file.yaml"],
        ["md", "no_such_potential", "no_such_file.xyz"],
        ["init", "ethanoll", "--file", "new.yaml"],
        ["init", "new.yaml"],
        ["init"],
        ["label", "no_such_file.xyz"],
        ["label", "no_such_file.xyz", "--xc", "wb97x-d"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_without_a_traceback(
    wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run_command(wrong) == 2
    out, err = capfd.readouterr()
    assert out + err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_init_writes_a_campaign_that_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "campaign.yaml"
    assert run_command(["init", "OH", "--file", str(path), "--charge", "-1"]) == 0
    config = load_config(path)
    assert config.structure.frames()[0].charge == -1
    assert config.name == "OH"
    assert run_command(["init", "ethanol", "--file", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run_command(["init", "ethanol", "--file", str(path), "--force"]) == 0
    assert load_config(path).name == "ethanol"


def test_init_says_what_will_be_computed_and_asks_about_an_odd_electron(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Acetate without its charge is taken for a radical, loudly."""
    Path(tmp_path / "acetate.xyz").write_text(
        "7\n\nC 0 0 0\nC 1.52 0 0\nO 2.1 1.1 0\nO 2.1 -1.1 0\nH -0.4 1 0\nH -0.4 -0.5 0.9\nH -0.4 -0.5 -0.9\n"
    )
    command = ["init", str(tmp_path / "acetate.xyz"), "--file", str(tmp_path / "c.yaml"), "--force"]
    assert run_command(command) == 0
    said = capsys.readouterr().out
    assert "C2H3O2, charge 0, doublet (1 structure); PBE" in said
    assert "note: C2H3O2 is taken for a neutral radical" in said
    assert run_command([*command, "--charge", "-1"]) == 0
    said = capsys.readouterr().out
    assert "C2H3O2, charge -1, singlet" in said
    assert "note:" not in said


def test_a_campaigns_store_takes_what_the_campaign_is_about_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    write_frames("ar2.xyz", [Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]])])
    write_frames("ar3.xyz", [Frame.of([18] * 3, [[0, 0, 0], [0, 0, 3.8], [0, 3.8, 0]])])
    source = "{frames: 1, source: {method: displacement}}"
    Path("c.yaml").write_text(
        "name: argon\nstructure: {files: ar2.xyz}\nlevel: {labeler: lennard_jones}\n"
        f"initial: {source}\ntest: {source}\n"
    )
    command = ["label", "--campaign", "c.yaml", "--workers", "1"]
    assert run_command([*command, "ar3.xyz"]) == 2
    err = capsys.readouterr().err
    assert "is about Ar2, charge 0, singlet" in err
    assert "Ar3, charge 0, singlet" in err
    assert not Path("campaigns").exists()
    Path("campaigns/argon").mkdir(parents=True)
    assert run_command([*command, "ar3.xyz", "--any-composition"]) == 0
    assert "Ar3, charge 0, singlet (1 structure)" in capsys.readouterr().out
    assert run_command(["labels", "export", "campaigns/argon/labels.db", "ar3.extxyz"]) == 0
    assert run_command(["labels", "import", "c.yaml", "ar3.extxyz"]) == 2
    assert "has no place in its store" in " ".join(capsys.readouterr().err.split())
    assert run_command(["labels", "import", "c.yaml", "ar3.extxyz", "--any-composition"]) == 0


def test_init_of_a_crystal_labels_forces_and_stress_in_its_cell(tmp_path: Path):
    bulk("C", "diamond", 3.57, cubic=True).write(tmp_path / "diamond.cif")
    path = tmp_path / "campaign.yaml"
    assert run_command(["init", str(tmp_path / "diamond.cif"), "--file", str(path)]) == 0
    config = load_config(path)
    assert config.level.xc == PRESETS["cheap_crystal"]().xc
    assert config.initial.source.method == "displacement"
    assert config.training.stress_weight > 0
    again = ["init", str(tmp_path / "diamond.cif"), "--file", str(path), "--force", "--preset"]
    assert run_command([*again, "crystal"]) == 0
    assert run_command([*again, "production"]) == 2


@pytest.mark.parametrize(
    ("stem", "name"), [("água", "agua"), ("水", "H2O"), ("300 K, wet", "300_K_wet"), ("n" * 240, "n" * 100)]
)
def test_init_makes_a_name_of_any_file(stem: str, name: str, tmp_path: Path):
    (tmp_path / f"{stem}.xyz").write_text("3\n\nO 0 0 0\nH 0.97 0 0\nH -0.24 0.94 0\n")
    file = tmp_path / "c.yaml"
    assert run_command(["init", str(tmp_path / f"{stem}.xyz"), "--file", str(file)]) == 0
    assert load_config(file).name == name


@pytest.mark.parametrize("name", ["héhé", "a/b", "mlruns", "n" * 300])
def test_init_refuses_a_name_that_cannot_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["init", "H2O", "--name", name, "--file", str(tmp_path / "c.yaml")]) == 2
    err = capsys.readouterr().err
    assert "write e.g. --name water" in err
    assert err.count("\n") <= 3
    assert not list(tmp_path.iterdir())


def test_init_lists_the_presets(capsys: pytest.CaptureFixture[str]):
    assert run_command(["init", "--preset", "list"]) == 0
    assert "For molecules near equilibrium" in capsys.readouterr().out


def test_ui_prints_both_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert run_command(["ui"]) == 0
    said = capsys.readouterr().out
    assert "prefect server start" in said
    assert "mlflow ui --backend-store-uri sqlite:///" in said


@pytest.mark.whole
def test_prefect_run_is_a_command_of_prefect_in_any_folder_once_it_is_set(tmp_path: Path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path)

    def prefect(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("prefect")), *words]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    assert prefect("config", "set", "PREFECT_PLUGINS_ENABLED=true").returncode == 0
    assert "active-learning campaign" in prefect("run", "--help").stdout
    wrong = prefect("run", "no_such_file.yaml")
    assert wrong.returncode == 2
    assert "no such file" in wrong.stderr
