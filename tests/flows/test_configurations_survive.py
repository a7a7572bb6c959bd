"""Any configuration is written as commented YAML and read back to the same values."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings

from flows.settings.campaign_config import CampaignConfig
from flows.settings.template import commented_yaml
from flows.settings.yaml_file import load_config
from tests.support.configurations import campaigns


@settings(max_examples=30)
@given(campaigns())
def test_yaml_and_back(config: CampaignConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "campaign.yaml"
        file.write_text(commented_yaml(config), encoding="utf-8")
        assert load_config(file) == config


@given(campaigns())
def test_json_and_back(config: CampaignConfig) -> None:
    assert CampaignConfig.model_validate_json(config.model_dump_json()) == config
