"""Where a campaign keeps what it learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exploration.strategies import Strategy
from flows.errors import ConfigError
from flows.record.begun_with import as_begun
from flows.record.changes import Change, read_changes
from flows.record.results import RoundResult
from flows.record.rounds import FIGURES_FOLDER, OUTCOMES_FILE, Arm, RoundFolder
from flows.record.stages import read_manifest
from flows.record.table import (
    ARRIVED,
    BROAD_FRAMES,
    BROAD_LABELS,
    CALIBRATE,
    CHOOSE,
    EVALUATE,
    EVALUATE_BROAD,
    EXPLORE,
    FIRST_LABELS,
    FRAMES,
    GUARD,
    ISOLATED_ATOMS,
    LABEL,
    PRETRAIN,
    PUBLISH,
    REVIEW,
    SELECT,
    SURVIVE,
    TEACH,
    TRAIN,
)
from flows.settings.campaign_config import MAIN_ARM, CampaignConfig
from flows.settings.template import commented_yaml
from flows.settings.yaml_file import load_config
from potential.data.atomic_write import write_atomically
from potential.training.training_config import TrainingConfig

FIRST = "initial and test"
"""What the labels before the first round are called in tables."""

CONFIG_FILE = "campaign.yaml"
TAKEN_OVER = "taken_over.extxyz"
BROAD_TEST = "broad test"


@dataclass(frozen=True)
class CampaignFolder:
    """The folder of one campaign and its configuration."""

    path: Path
    config: CampaignConfig

    @classmethod
    def of(cls, config: CampaignConfig) -> CampaignFolder:
        """The folder that `config` says; it need not exist yet."""
        path = config.folder / config.name
        return cls(path, as_begun(config, path / CONFIG_FILE))

    @classmethod
    def open(cls, source: str | Path) -> CampaignFolder:
        """From a campaign's YAML file, or from the folder of a campaign that has been started.

        Raises:
            ConfigError: if there is no campaign, or its configuration is wrong.
        """
        source = Path(source)
        if not source.is_dir():
            return cls.of(load_config(source))
        if not (source / CONFIG_FILE).exists():
            raise ConfigError(source, ["no campaign.yaml in it; give a campaign's folder or its YAML file"])
        # The folder may have been moved since, so where it is now counts.
        file = source / CONFIG_FILE
        return cls(source.resolve(), as_begun(load_config(file), file))

    @property
    def kept_config(self) -> CampaignConfig:
        """The configuration that the folder keeps, with which the campaign last ran.

        Raises:
            ConfigError: if it is that of another version, or none.
        """
        return as_begun(load_config(self.config_file), self.config_file)

    @property
    def config_file(self) -> Path:
        return self.path / CONFIG_FILE

    @property
    def label_store(self) -> Path | str:
        """A file, or the URL of a store that campaigns share."""
        return self.config.labeling.store or self.path / "labels.db"

    @property
    def to_label(self) -> Path:
        """The frames that wait for labels from elsewhere; there while the campaign does."""
        return self.path / "to_label.extxyz"

    @property
    def tracking(self) -> Path:
        """Where in MLflow the campaign is."""
        return self.path / "tracking.json"

    @property
    def frames(self) -> Path:
        return self.path / FRAMES.name

    @property
    def initial_frames(self) -> Path:
        return self.frames / "initial.extxyz"

    @property
    def test_frames(self) -> Path:
        """The frozen test set."""
        return self.frames / "test.extxyz"

    @property
    def first_labels(self) -> Path:
        """The stage that labels initial and test frames."""
        return self.path / FIRST_LABELS.name

    @property
    def broad_frames(self) -> Path:
        """The stage that makes the second frozen test set."""
        return self.path / BROAD_FRAMES.name

    @property
    def broad_labels(self) -> Path:
        return self.path / BROAD_LABELS.name

    @property
    def isolated_atoms(self) -> Path:
        return self.path / ISOLATED_ATOMS.name

    @property
    def teach(self) -> Path:
        """The stage that makes the teacher's frames, with their labels."""
        return self.path / "pretraining" / TEACH.name

    @property
    def pretrain(self) -> Path:
        """The stage whose `potential/` every arm and round begins from."""
        return self.path / "pretraining" / PRETRAIN.name

    @property
    def guard(self) -> Path:
        """The stage that compares a pretrained committee with one that is not."""
        return self.path / "pretraining" / GUARD.name

    @property
    def potential(self) -> Path:
        return self.path / PUBLISH.name

    @property
    def model_card(self) -> Path:
        return self.potential / "model_card.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """Drawings over all rounds; each round has its own beside its stages."""
        return self.path / FIGURES_FOLDER

    @property
    def logs(self) -> Path:
        """A file of each of the last runs."""
        return self.path / "logs"

    @property
    def earlier(self) -> Path:
        """The rounds at earlier levels of theory, a folder each."""
        return self.path / "earlier"

    @property
    def taken_over(self) -> Path | None:
        """Frames that were labelled at the level before this one; None where there was none."""
        files = sorted(self.earlier.glob(f"*/{TAKEN_OVER}"))
        return files[-1] if files else None

    def at(self, number: int) -> CampaignConfig:
        """The configuration with which a round is made: settings may have changed since."""
        changes = read_changes(self.path)
        return self.config if changes is None else changes.at(self.config, number)

    def trained_with(self, here: RoundFolder) -> TrainingConfig:
        """The settings of a round's training, as it was done: with the rate of fine-tuning where it tuned."""
        planned, manifest = self.at(here.number).training, read_manifest(here.train)
        if manifest is None:
            return planned
        kept: Any = manifest.inputs["training"]
        return TrainingConfig.of_record(planned.model_dump(exclude={"optimizer"}) | kept)

    def strategy(self, here: RoundFolder) -> Strategy:
        """How a round selects."""
        config = self.at(here.number)
        return config.selection if here.arm.is_main else config.arms[here.arm.name]

    def changes(self) -> tuple[Change, ...]:
        """Every change of mind, the first first."""
        found = read_changes(self.path)
        return () if found is None else found.made

    @property
    def main(self) -> Arm:
        """The arm that selects as the configuration's `selection` says."""
        return Arm(MAIN_ARM, self.config.selection, self.path / "rounds", last=self.config.rounds)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The main arm, then those beside it."""
        beside = (
            replace(self.main, name=name, selection=selection, rounds=rounds, start=self.main)
            for name, selection in self.config.arms.items()
            for rounds in (self.path / "arms" / name / "rounds",)
        )
        return (self.main, *beside)

    def round(self, number: int) -> RoundFolder:
        """A round of the main arm."""
        return self.main.round(number)

    def results(self, *, up_to: int | None = None) -> list[RoundResult]:
        """The results of the main arm's finished rounds; see `Arm.results`."""
        return self.main.results(up_to=up_to)

    def stages(self) -> list[tuple[str, Path]]:
        """All stages that the configuration asks for, in order: title and folder."""
        found = [(FRAMES.title, self.frames), (FIRST_LABELS.title, self.first_labels)]
        if self.config.training.energy_shifts == "isolated_atoms":
            found.append((ISOLATED_ATOMS.title, self.isolated_atoms))
        before = ((TEACH, self.teach), (PRETRAIN, self.pretrain), (GUARD, self.guard))
        found += [(stage.title, path) for stage, path in before if path.exists()]
        if self.config.test_broad is not None:
            found += [(BROAD_FRAMES.title, self.broad_frames), (BROAD_LABELS.title, self.broad_labels)]
        for number in range(self.config.rounds + 1):
            for arm in self.arms:
                here = arm.round(number)
                paths = [(TRAIN, here.train), (EVALUATE, here.evaluate)]
                if self.config.test_broad is not None:
                    paths.append((EVALUATE_BROAD, here.evaluate_broad))
                paths += [(CALIBRATE, here.calibrate), (CHOOSE, here.choose)]
                if self.config.survival is not None:
                    paths.append((SURVIVE, here.survive))
                if number < self.config.rounds:
                    paths += [(EXPLORE, here.explore), (SELECT, here.select)]
                    if self.config.review is not None:
                        paths.append((REVIEW, here.review))
                    paths += [(LABEL, here.label), (ARRIVED, here.arrived)]
                found += [(f"{here}, {stage.title}", path) for stage, path in paths]
        return list({path: (title, path) for title, path in reversed(found)}.values())[::-1]

    def label_stages(self) -> list[tuple[str, int, Path]]:
        """Every stage that labels: what it is called, the round it belongs to, its outcomes."""
        rounds = [here for arm in self.arms for here in arm.begun()]
        return [
            (FIRST, 0, self.first_labels / OUTCOMES_FILE),
            (BROAD_TEST, 0, self.broad_labels / OUTCOMES_FILE),
            (ISOLATED_ATOMS.title, 0, self.isolated_atoms / OUTCOMES_FILE),
            *((str(here), here.number, here.outcomes) for here in sorted(rounds, key=lambda r: r.number)),
        ]

    def write_config(self) -> None:
        """Keep the configuration as it was understood, with every default spelled out."""
        write_atomically(self.config_file, commented_yaml(self.config))
