"""Where a campaign keeps what it learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.errors import ConfigError
from flows.record.results import RESULT_FILE
from flows.settings.campaign_config import CampaignConfig
from flows.settings.template import commented_yaml
from flows.settings.yaml_file import load_config
from potential.data.atomic_write import write_atomically


@dataclass(frozen=True)
class RoundFolder:
    """The folders of one round's stages."""

    path: Path

    @property
    def train(self) -> Path:
        return self.path / "train"

    @property
    def potential(self) -> Path:
        return self.train / "potential"

    @property
    def evaluate(self) -> Path:
        return self.path / "evaluate"

    @property
    def explore(self) -> Path:
        return self.path / "explore"

    @property
    def select(self) -> Path:
        return self.path / "select"

    @property
    def label(self) -> Path:
        return self.path / "label"

    @property
    def result(self) -> Path:
        return self.path / RESULT_FILE


@dataclass(frozen=True)
class CampaignFolder:
    """The folder of one campaign and its configuration."""

    path: Path
    config: CampaignConfig

    @classmethod
    def of(cls, config: CampaignConfig) -> CampaignFolder:
        """The folder that `config` says; it need not exist yet."""
        return cls(config.folder / config.name, config)

    @classmethod
    def open(cls, source: Path) -> CampaignFolder:
        """From a campaign's YAML file, or from the folder of a campaign that has been started.

        Raises:
            ConfigError: if there is no campaign, or its configuration is wrong.
        """
        if not source.is_dir():
            return cls.of(load_config(source))
        if not (source / "campaign.yaml").exists():
            raise ConfigError(source, ["no campaign.yaml in it; give a campaign's folder or its YAML file"])
        # The folder may have been moved since, so where it is now counts.
        return cls(source.resolve(), load_config(source / "campaign.yaml"))

    @property
    def config_file(self) -> Path:
        return self.path / "campaign.yaml"

    @property
    def label_store(self) -> Path | str:
        """A file, or the URL of a store that campaigns share."""
        return self.config.labeling.store or self.path / "labels.db"

    @property
    def frames(self) -> Path:
        return self.path / "frames"

    @property
    def isolated_atoms(self) -> Path:
        return self.path / "isolated_atoms"

    @property
    def labels(self) -> Path:
        return self.path / "labels"

    @property
    def potential(self) -> Path:
        return self.path / "potential"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def round(self, number: int) -> RoundFolder:
        return RoundFolder(self.path / "rounds" / f"{number:02d}")

    def write_config(self) -> None:
        """Keep the configuration as it was understood, with every default spelled out."""
        write_atomically(self.config_file, commented_yaml(self.config))
