"""What can be wrong with a campaign, said to the person who runs it. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

ENOUGH = 1400
"""Characters of problems that are shown at once."""


class CampaignError(Exception):
    """The campaign cannot go on; the message says why and what to do."""


class ConfigError(CampaignError):
    """The configuration is wrong.

    Attributes:
        problems: one line per problem, each with its place.
    """

    def __init__(self, source: object, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{_short(str(source), 200)}: {count}"]
        for problem in problems:
            if sum(map(len, lines)) > ENOUGH:
                lines.append(f"  and {len(problems) - len(lines) + 1} more")
                break
            lines.append(f"  {_short(problem, 400)}")
        super().__init__("\n".join(lines))


def problems_of(error: ValidationError) -> list[str]:
    """One line for each value that does not fit, with its name."""
    found = []
    for each in error.errors(include_url=False):
        name, said = ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")
        shown = "" if each["type"] in ("value_error", "missing") else f", got {each['input']!r:.80}"
        found.append(f"{name}: {said}{shown}" if name else f"{said}{shown}")
    return found


class DamagedFileError(CampaignError, ValueError):
    """A file that the campaign wrote cannot be read; the message says what to do with it."""


class StageChangedError(CampaignError):
    """A finished stage was made with other settings than the configuration now asks for."""


class ChangedMindError(CampaignError):
    """Settings changed that concern what is finished; the message says what would follow."""


class CampaignLockedError(CampaignError):
    """Another process works on the campaign."""


class LabelsAwaitedError(CampaignError):
    """The campaign stopped until labels that are made elsewhere are imported."""


class ReviewAwaitedError(CampaignError):
    """The campaign stopped, as it was asked to, until a person has reviewed a selection."""


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"
