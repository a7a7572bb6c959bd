"""What the documentation says is checked where a machine can check it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from flows.settings.yaml_file import load_config

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    p for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
ids = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_python_examples_import_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        imports = [n for n in ast.parse(block).body if isinstance(n, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(body=imports, type_ignores=[]), str(page), "exec"), {})


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_example_campaigns_are_valid(example: Path) -> None:
    config = load_config(example)
    for frame in config.structure.frames():
        config.level.check(frame)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_campaigns_in_the_text_are_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        if "structure:" in block:
            (tmp_path / "campaign.yaml").write_text(block)
            load_config(tmp_path / "campaign.yaml")


def test_the_readme_shows_a_campaign() -> None:
    assert any("structure:" in block for block in blocks(ROOT / "README.md", "yaml"))
