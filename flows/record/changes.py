"""Changes of mind: what was set otherwise when a campaign's earlier rounds were made.

What is finished stays as it was made. `changes.json` keeps the settings in force and every change of them,
with the round from which it counts, so that the settings of each round are known: those of a finished one
are still compared with what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from exploration.settings import ExplorationConfig
from exploration.strategies import Strategy, strategy_of_record
from flows.errors import DamagedFileError
from flows.record.stage_inputs import Settings
from flows.settings.campaign_config import CampaignConfig
from labeling.level import settings
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.sealed import sealed, unsealed
from potential.training.training_config import NOT_OF_THE_RESULT, TrainingConfig

CHANGES_FILE = "changes.json"
BY_ROUND: dict[str, Callable[[Any], Any]] = {
    "training": TrainingConfig.of_record,
    "exploration": ExplorationConfig.of_record,
    "selection": strategy_of_record,
    "arms": TypeAdapter(dict[str, Strategy]).validate_python,
}
"""Sections that each round may have its own values of, and what reads a kept one."""


class Change(Config):
    """One change of mind.

    Attributes:
        at: when, ISO 8601.
        said: what changed and what follows, a line each.
        was: the section's values until then; of those that earlier rounds keep.
        until: the first round with the new values, by section.
        begins_anew: the rounds began anew, at another level of theory.
    """

    at: str
    said: tuple[str, ...]
    was: dict[str, JsonValue] = {}  # noqa: RUF012 (pydantic copies it)
    until: dict[str, int] = {}  # noqa: RUF012 (pydantic copies it)
    begins_anew: bool = False


class Changes(Config):
    """The settings in force, and how they came to be."""

    now: dict[str, JsonValue]
    made: tuple[Change, ...] = ()

    def since_the_start(self) -> list[Change]:
        """The changes since the rounds began, the latest first."""
        found = list[Change]()
        for change in reversed(self.made):
            if change.begins_anew:
                break
            found.append(change)
        return found

    def at(self, config: CampaignConfig, number: int) -> CampaignConfig:
        """The configuration with which a round is made."""
        for change in self.since_the_start():
            for section, first in change.until.items():
                if number < first:
                    was = BY_ROUND[section](change.was[section])
                    if section == "arms":
                        was = config.arms | {arm: kept for arm, kept in was.items() if arm in config.arms}
                    config = config.model_copy(update={section: was})
        return config


def read_changes(campaign: Path) -> Changes | None:
    """What a campaign's folder keeps; None in folders of older versions, and before the first run.

    Raises:
        DamagedFileError: where it cannot be read.
    """
    path = campaign / CHANGES_FILE
    try:
        return Changes.model_validate(unsealed(path.read_bytes())) if path.exists() else None
    except (ValueError, IsADirectoryError):
        raise DamagedFileError(
            f"{path} is damaged. Put the original back; without the file, put back the settings with which "
            "the finished rounds were made."
        ) from None


def write_changes(campaign: Path, changes: Changes) -> None:
    """Keep them, atomically."""
    write_atomically(campaign / CHANGES_FILE, sealed(changes.model_dump(mode="json")))


def in_force(config: CampaignConfig) -> dict[str, Any]:
    """The settings of which changes are kept, as JSON."""
    sections: dict[str, Any] = {name: section_of(config, name) for name in BY_ROUND}
    broad = config.test_broad
    return {
        **sections,
        "rounds": config.rounds,
        "test.frames": config.test.frames,
        "test_broad.frames": None if broad is None else broad.frames,
        "level": settings(config.level),
    }


def section_of(config: CampaignConfig, name: str) -> dict[str, Any]:
    """A section as JSON, without what changes no result."""
    return _as_json(getattr(config, name), name)


def section_kept(kept: Any, name: str) -> dict[str, Any]:
    """A kept section in today's fields, which had their defaults when it was written."""
    try:
        value = BY_ROUND[name](kept)
    except (ValidationError, TypeError):
        return kept if isinstance(kept, dict) else {}
    return _as_json(value, name)


def _as_json(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item.model_dump(mode="json") for key, item in value.items()}
    return Settings(value, NOT_OF_THE_RESULT if name == "training" else frozenset()).as_json()
