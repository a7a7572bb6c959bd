"""What the documentation says is tried: its Python runs, its commands parse, its YAML is valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from alnico import Frame, LabelledFrame, LennardJonesLevel, load_config, save_potential, write_frames
from flows.cli.app import app
from labeling.lennard_jones import compute
from tests.support.documents import PAGES, ROOT, Block, blocks, commands
from tests.support.systems import model, water

EXECUTED = ["python"]
PARSED = ["bash", "text", ""]
CHECKED = ["yaml"]
DRAWN = ["mermaid"]

FRAGMENT = {
    "name": "argon",
    "structure": {"molecule": "H2"},
    "initial": {"source": {"method": "displacement"}},
    "test": {"source": {"method": "displacement"}},
    "level": {"labeler": "lennard_jones"},
}


def of(languages: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks(*languages), ids=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_blocks_are_in_languages_that_are_tried() -> None:
    fences = sum(len(re.findall(r"^ *```", page.read_text(), flags=re.MULTILINE)) for page in PAGES)
    everything = blocks(*EXECUTED, *PARSED, *CHECKED, *DRAWN)
    assert 2 * len(everything) == fences
    assert {block.language for block in everything} >= {"python", "bash", "yaml"}


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the text speaks of: a potential, and frames with labels."""
    save_potential(tmp_path / "campaigns" / "ethanol" / "potential", model([1, 6, 8]), {"name": "ethanol"})
    rng, level = np.random.default_rng(0), LennardJonesLevel()
    triangle = np.array([[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [1.9, 3.3, 0.0]])
    frames = [Frame.of([18] * 3, triangle + rng.normal(0, 0.1, (3, 3))) for _ in range(24)]
    labelled = [LabelledFrame(frame=frame, label=compute(frame, level)) for frame in frames]
    write_frames(tmp_path / "labelled.extxyz", labelled)
    write_frames(tmp_path / "water.xyz", [water()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@of(EXECUTED)
def test_python_runs(block: Block, users_folder: Path) -> None:
    if block.excuse:
        pytest.skip(block.excuse)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@of(PARSED)
def test_commands_exist(block: Block) -> None:
    """Not run: parsed as the command line parses them, and looked up in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for command in commands(block):
        words = shlex.split(command, comments=True)
        if words[0] == "alnico":
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_exist(page: Path) -> None:
    for said in re.findall(r"`alnico ([a-z][^`]*)`", page.read_text()):
        words = shlex.split(said)
        named, apps, _ = app.parse_commands(words)
        assert named, f"alnico {said}: no such command"
        if options := {word for word in words if word.startswith("--")}:
            assert options <= {name for a in apps[-1].assemble_argument_collection() for name in a.names}


@of(CHECKED)
def test_settings_are_valid(block: Block, tmp_path: Path) -> None:
    """A whole campaign, or some sections of one."""
    content = yaml.safe_load(block.text)
    rest = {} if "structure" in content else {k: v for k, v in FRAGMENT.items() if k not in content}
    (tmp_path / "campaign.yaml").write_text(block.text + (yaml.safe_dump(rest) if rest else ""))
    assert set(content) <= load_config(tmp_path / "campaign.yaml").model_fields_set


def test_the_readme_shows_a_campaign() -> None:
    assert any("structure:" in block.text for block in blocks("yaml") if block.page == "README.md")


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_example_campaigns_are_valid(example: Path) -> None:
    config = load_config(example)
    for frame in config.structure.frames():
        config.level.check(frame)
