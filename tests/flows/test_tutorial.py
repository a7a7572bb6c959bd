"""The tutorial is run as it is written, and prints what it says, but for the numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from flows.cli.app import run_command
from tests.support.documents import ROOT, blocks_of, commands

CHANGED = {"rounds": 2, "training": {"max_epochs": 200}}
"""What the reader is told to write before the first command that ends with exit code 1."""


def without_numbers(line: str) -> str:
    """The words of a line. Numbers are other ones on another machine; tables are as wide as they need."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(\.\d+)?", "#", line)).strip()


@pytest.mark.slow
def test_it_does_what_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prefect_url: str,
) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("tblite")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    said = ""
    for block in blocks_of(ROOT / "docs" / "tutorial.md"):
        if block.language == "yaml":
            Path(f"{yaml.safe_load(block.text)['name']}.yaml").write_text(block.text)
        elif block.language == "bash":
            said = ""
            for command in commands(block):
                code = re.search(r"# exit code (\d+)", command)
                if code and code[1] == "1":
                    path = Path("formamide.yaml")
                    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | CHANGED))
                words = shlex.split(command, comments=True)
                assert words[0] == "alnico"
                assert run_command(words[1:]) == int(code[1] if code else 0), command
                said += "".join(capsys.readouterr())
        else:
            printed = without_numbers(said)
            for line in block.text.splitlines():
                for part in line.split("…"):
                    assert without_numbers(part) in printed, f"{block}: {line}\n\n{said}"
