"""`import alnico`: its names, version, wheel, and what it says where another package hides its own."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import alnico
from labeling.lennard_jones import compute
from tests.support.argon import LEVEL

ROOT = Path(__file__).parent.parent
PACKAGES = ("alnico", "flows", "potential", "exploration", "labeling")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def python(
    *arguments: str, path: Path = ROOT, before: Path | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that looks in `before`, then in `path`."""
    search = os.pathsep.join(str(p) for p in (before, path) if p)
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=120,
    )


def seen_by_type_checkers() -> dict[str, str]:
    """Name -> module, from the imports that only mypy and editors read."""
    tree = ast.parse((ROOT / "alnico" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.asname or alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    homes = seen_by_type_checkers()
    assert {"__version__", *homes} == set(alnico.__all__)
    for name, module in homes.items():
        assert getattr(alnico, name) is getattr(import_module(module), name)


def test_a_wrong_name_is_told_the_right_ones() -> None:
    with pytest.raises(AttributeError, match=r"no 'Frames'; it has .*Frame"):
        _ = alnico.Frames


def test_names_load_when_they_are_used() -> None:
    code = (
        "import sys, alnico\n"
        "heavy = {'torch', 'prefect', 'mlflow', 'pyscf', 'ase', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "from alnico import Frame, PySCFLevel, LabelStore\n"
        "print('torch' in sys.modules, 'prefect' in sys.modules)"
    )
    assert python("-c", code).stdout == "[]\nFalse False\n"


def test_every_path_may_be_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in alnico.__all__:
        said = getattr(alnico, name)
        for function in (said, *(getattr(said, part, None) for part in ("load", "open", "save"))):
            if inspect.isroutine(function):
                kinds = [str(p.annotation) for p in inspect.signature(function).parameters.values()]
                assert not [k for k in kinds if "Path" in k and "str" not in k], name
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "lj_cluster.yaml", "campaign.yaml")
    assert alnico.load_config("campaign.yaml").name == alnico.CampaignFolder.open("campaign.yaml").config.name
    pairs = [alnico.Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.5 + n / 10]]) for n in range(4)]
    data = alnico.Dataset.of([alnico.LabelledFrame(frame=p, label=compute(p, LEVEL)) for p in pairs])
    small = alnico.ModelConfig(num_layers=1, l_max=0, num_features=2, committee_size=1)
    training = alnico.TrainingConfig(max_epochs=1)
    trained = alnico.train_committee(
        data, alnico.Dataset.of([]), model=small, training=training, seed=0, folder="training"
    )
    alnico.save_potential("potential", trained.model, {})
    assert alnico.load_potential("potential").numbers.tolist() == [18]


def test_the_version_is_the_one_in_pyproject() -> None:
    """Where this fails the installation is older than the checkout: `make setup`."""
    assert alnico.__version__ == VERSION
    assert python("-m", "alnico", "--version").stdout.strip() == VERSION


def test_a_checkout_that_is_not_installed_has_a_version() -> None:
    from flows import version

    assert version._of_checkout() == VERSION


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_another_package_of_the_same_name_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    stranger = tmp_path / package / "__init__.py"
    stranger.write_text("raise SystemExit('the stranger was imported')")
    done = python("-c", "import alnico", before=tmp_path)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: alnico needs its own package")
    assert str(stranger) in said
    assert "PYTHONPATH" in said


def test_a_folder_of_the_same_name_does_no_harm(tmp_path: Path) -> None:
    """Campaigns have a folder `potential`, and users stand in theirs."""
    (tmp_path / "potential").mkdir()
    assert python("-c", "import alnico", before=tmp_path).returncode == 0


def test_a_package_that_is_gone_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "alnico", tmp_path / "alnico")
    said = python("-S", "-c", "import alnico", path=tmp_path, cwd=tmp_path).stderr
    assert "its package 'potential' is not; install alnico anew" in said


@pytest.mark.whole
def test_the_wheel_has_all_that_runs(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, and started from there."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("alnico-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    tracked = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert tracked <= inside
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert {Path(name).suffix for name in inside} >= {".py", ".h", ".cpp", ".jinja"}
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/"))]
    code = (
        "import alnico; print(alnico.__file__, alnico.__version__); from alnico import Potential, load_config"
    )
    done = python("-c", code, path=tmp_path / "site", cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path / "site" / "alnico" / "__init__.py"), VERSION], done.stderr
    helped = python("-m", "alnico", "--help", path=tmp_path / "site", cwd=tmp_path)
    assert "alnico" in helped.stdout
