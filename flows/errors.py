"""What can be wrong with a campaign, said to the person who runs it. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence


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
        super().__init__("\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)]))


class StageChangedError(CampaignError):
    """A finished stage was made with other settings than the configuration now asks for."""


class CampaignLockedError(CampaignError):
    """Another process works on the campaign."""
