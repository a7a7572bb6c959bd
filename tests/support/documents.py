"""The documentation's pages, and the code in them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples", "deployments")
PAGES = sorted([*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))])
FENCE = re.compile(
    r"^(?P<before>[^\n]*)\n(?:[ ]*\n)?(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `excuse` is what `<!-- not run: ... -->` on the line before it says."""

    page: str
    line: int
    language: str
    text: str
    excuse: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All blocks of all pages in one of the languages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer("\n" + text):
        excuse = re.search(r"<!-- not run: (.*?) -->", match["before"])
        found.append(
            Block(
                page=str(page.relative_to(ROOT)),
                line=text.count("\n", 0, match.start("text") - 1),
                language=match["language"],
                text=textwrap.dedent(match["text"]),
                excuse=excuse[1] if excuse else None,
            )
        )
    return found


def commands(block: Block) -> list[str]:
    """The lines of a shell block, comments taken off, lines that end in a backslash joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
