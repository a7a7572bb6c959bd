"""What a campaign goes on with because it began with it, where its YAML says nothing."""

from __future__ import annotations

import re
from pathlib import Path

from flows.settings.campaign_config import CampaignConfig


def as_begun(config: CampaignConfig, kept: Path) -> CampaignConfig:
    """The configuration with the optimiser with which the campaign began.

    A campaign is not asked to change its mind because a default changed: Adam was the only optimiser once.

    Args:
        kept: the configuration that the campaign's folder keeps, with every default spelled out.
    """
    if "optimizer" in config.training.model_fields_set or not kept.is_file():
        return config
    text = kept.read_text(errors="replace")
    if "checkpoint_every_epochs" not in text:  # the user's own, with no default spelled out
        return config
    said = re.search(r"^  optimizer: (muon|adam)\b", text, re.MULTILINE)
    training = config.training.model_copy(update={"optimizer": said[1] if said else "adam"})
    return config.model_copy(update={"training": training})
