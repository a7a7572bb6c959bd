"""What a campaign goes on with because it began with it, where its YAML says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exploration.strategies import Strategy
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from flows.errors import ConfigError
from flows.settings.campaign_config import CampaignConfig
from flows.yaml_text import read_yaml
from potential.training.training_config import TrainingConfig

FORMER = UncertainAndDiverse().strategy


def as_begun(config: CampaignConfig, kept: Path) -> CampaignConfig:
    """The configuration with the optimiser and the strategies with which the campaign began.

    A campaign is not asked to change its mind because a default changed: Adam was the only optimiser once,
    farthest points were the default selection.

    Args:
        kept: the configuration that the campaign's folder keeps, with every default spelled out.
    """
    chosen = [strategy.model_fields_set for strategy in (config.selection, *config.arms.values())]
    if "optimizer" in config.training.model_fields_set and all("strategy" in fields for fields in chosen):
        return config
    begun = _spelled_out(kept)
    if begun is None:
        return config
    arms = _section(begun, "arms")
    return config.model_copy(
        update={
            "training": _training(config.training, _section(begun, "training")),
            "selection": _strategy(config.selection, begun.get("selection")),
            "arms": {name: _strategy(arm, arms.get(name)) for name, arm in config.arms.items()},
        }
    )


def _spelled_out(kept: Path) -> dict[Any, Any] | None:
    """What the file says; None if there is none to be read, or it is a user's own, with few defaults."""
    try:
        _, begun, _ = read_yaml(kept)
    except ConfigError:  # whoever needs the file itself says so
        return None
    return begun if "checkpoint_every_epochs" in _section(begun, "training") else None


def _section(begun: dict[Any, Any], name: str) -> dict[Any, Any]:
    found = begun.get(name)
    return found if isinstance(found, dict) else {}


def _training(training: TrainingConfig, begun: dict[Any, Any]) -> TrainingConfig:
    if "optimizer" in training.model_fields_set:
        return training
    optimizer = "muon" if begun.get("optimizer") == "muon" else "adam"
    return training.model_copy(update={"optimizer": optimizer})


def _strategy(strategy: Strategy, begun: Any) -> Strategy:
    """Farthest points, where a campaign began with them and its file names no strategy."""
    chosen = "strategy" in strategy.model_fields_set
    if chosen or not isinstance(begun, dict) or begun.get("strategy", FORMER) != FORMER:
        return strategy
    return UncertainAndDiverse(**strategy.model_dump(exclude_unset=True, exclude={"strategy"}))
