"""The shape of the project: who may import whom, and that its entry points start."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

TORCH_FREE = [
    "potential.data.frame",
    "potential.data.units",
    "potential.data.dataset",
    "potential.data.config",
    "potential.data.structure_files",
]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level packages in sys.modules of a fresh interpreter that has imported `modules`."""
    lines = [*(f"import {module}" for module in modules), "import sys", "print('\\n'.join(sys.modules))"]
    done = run(sys.executable, "-c", "\n".join(lines))
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def modules_of(package: str) -> list[str]:
    return [package, *(m.name for m in pkgutil.walk_packages([str(ROOT / package)], f"{package}."))]


def test_import_contracts_hold() -> None:
    done = run(BIN / "lint-imports", "--no-cache")
    assert done.returncode == 0, done.stdout


def test_labelling_leaves_torch_prefect_and_mlflow_out() -> None:
    """A labelling worker starts in a second and spends its memory on the SCF."""
    loaded = loaded_by(modules_of("labeling"))
    assert "labeling" in loaded
    assert not loaded & {"torch", "e3nn", "prefect", "mlflow"}


def test_the_modules_that_labelling_may_use_are_free_of_torch() -> None:
    assert not loaded_by(TORCH_FREE) & {"torch", "e3nn"}


@pytest.mark.whole
def test_the_science_runs_without_prefect_and_mlflow() -> None:
    loaded = loaded_by([*modules_of("potential"), *modules_of("exploration")])
    assert "torch" in loaded
    assert not loaded & {"prefect", "mlflow", "flows"}


def test_looking_into_a_label_store_waits_for_neither_prefect_nor_torch() -> None:
    assert not loaded_by(["flows.cli.labels"]) & {"prefect", "mlflow", "torch", "pandas"}


def test_whether_anything_is_to_do_waits_for_no_library_of_numbers_but_numpy() -> None:
    """A schedule that goes on firing after a campaign's end shall cost next to nothing."""
    loaded = loaded_by(["flows.record.ending", "flows.cli.run"])
    assert "numpy" in loaded
    assert not loaded & {"torch", "prefect", "mlflow", "pandas", "scipy", "matplotlib", "pyscf"}


def test_every_import_is_a_declared_dependency() -> None:
    """What a package of a package happens to bring may be gone with its next release."""
    requirements = metadata.requires("alnico") or []
    # pydantic_core is pydantic's own; triton comes with PyTorch for CUDA, and its absence is handled.
    known = {"pydantic_core", "triton"}
    # those of the extras `dask` and `smiles`; what needs them says what to install
    optional = {
        **dict.fromkeys(("dask", "distributed", "dask_jobqueue"), ROOT / "flows" / "engines"),
        "rdkit": ROOT / "potential" / "data" / "smiles.py",
    }
    declared = {re.split(r"[^A-Za-z0-9._-]", r)[0].lower() for r in requirements if "extra ==" not in r}
    ours = {"alnico", "potential", "exploration", "labeling", "flows"}
    distributions = metadata.packages_distributions()
    undeclared = {
        f"{name} in {file.relative_to(ROOT)}"
        for package in ours
        for file in (ROOT / package).rglob("*.py")
        for name in imported_by(file) - ours - sys.stdlib_module_names - known
        if not (name in optional and file.is_relative_to(optional[name]))
        if not {d.lower() for d in distributions.get(name, ["?"])} & declared
    }
    assert not undeclared


def imported_by(file: Path) -> set[str]:
    """Top-level names of the absolute imports in a file."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import():
                names |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module.partition(".")[0])
    return names


def test_alnico_starts_and_lists_its_commands() -> None:
    done = run(BIN / "alnico", "--help")
    assert done.returncode == 0, done.stderr
    campaigns, tools = "init run deploy status report ui schema", "label train md evaluate"
    for command in f"{campaigns} {tools}".split():
        assert command in done.stdout.split(), f"{command} is missing from alnico --help"


def test_an_unknown_command_is_an_error() -> None:
    assert run(BIN / "alnico", "lable").returncode != 0


def test_prefect_finds_the_plugin() -> None:
    (plugin,) = metadata.entry_points(group="prefect.plugins", name="alnico")
    assert callable(plugin.load().setup_environment)


@pytest.mark.parametrize(
    "script", [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci" / "run"], ids=lambda p: p.name
)
def test_scripts_are_executable(script: Path) -> None:
    assert script.stat().st_mode & 0o111
