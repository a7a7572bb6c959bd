"""The configuration of a learning-curve study, and its YAML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator

from exploration.strategies import Strategy
from flows.errors import ConfigError, problems_of
from flows.settings.pretraining import FineTuningRate
from flows.settings.yaml_file import with_absolute_paths
from flows.yaml_text import read_yaml
from potential.data.config import Config
from potential.nequip.model_config import ModelConfig
from potential.training.training_config import TrainingConfig

Size = Annotated[int, Field(ge=2, le=1_000_000)]
Target = Annotated[float, Field(gt=0, le=1e6)]
CONTROL = "random"


class LabelledFile(Config):
    """A file of structures with energies and forces."""

    path: Annotated[Path, Field(description="e.g. extxyz; relative to the study's YAML file")]
    energy: Annotated[
        str | None, Field(description="the file's name for the energy; null: energy, or free_energy")
    ] = None
    forces: Annotated[str, Field(description="the file's name for the forces")] = "forces"
    frames: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="use this many, drawn at random; null: all")
    ] = None


class StudyConfig(Config):
    """Learning curves on a labelled pool: every strategy with every model and seed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    folder: Annotated[Path, Field(description="where study folders are made")] = Path("studies")
    pool: Annotated[LabelledFile, Field(description="what labels are bought from")]
    tests: Annotated[
        dict[str, LabelledFile], Field(min_length=1, description="frozen tests, by name; the first is drawn")
    ]
    sizes: Annotated[
        tuple[Size, ...], Field(min_length=1, max_length=100, description="numbers of labels, rising")
    ] = (20, 40, 60, 80, 100)
    seeds: Annotated[int, Field(ge=1, le=1000, description="curves of each kind, from other starts")] = 3
    strategies: Annotated[
        dict[str, Strategy],
        Field(min_length=1, description="by name; `random` is what the others are compared with"),
    ]
    models: Annotated[dict[str, ModelConfig], Field(min_length=1, description="by name, e.g. l0, l1, l2")]
    weights: Annotated[
        dict[str, Path],
        Field(
            default_factory=dict,
            description="for models that do not begin at random: by a model's name, a potential of the same "
            "architecture, e.g. what `alnico pretrain` made; relative to the study's YAML file",
        ),
    ]
    training: TrainingConfig = TrainingConfig()
    fine_tuning_rate: FineTuningRate = 0.005
    candidate_share: Annotated[
        float,
        Field(
            ge=0.001,
            le=1,
            description="the most uncertain share of the pool counts as candidates; 0.001 to 1",
        ),
    ] = 0.5
    targets_meV_per_A: Annotated[
        tuple[Target, ...], Field(max_length=20, description="force MAE to which labels are counted")
    ] = (30.0, 20.0, 15.0)
    workers: Annotated[int, Field(ge=1, le=256, description="curves at once, one core each")] = 1

    @field_validator("tests", "strategies", "models")
    @classmethod
    def _names_of_folders(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,39}", name):
                raise ValueError(f"{name!r} cannot name a folder; write lower-case letters, digits or _")
        return named

    @model_validator(mode="after")
    def _weights_of_models(self) -> StudyConfig:
        if unknown := sorted(self.weights.keys() - self.models.keys()):
            raise ValueError(f"weights: {unknown} are none of the models {sorted(self.models)}")
        return self

    @model_validator(mode="after")
    def _sizes_rise(self) -> StudyConfig:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes {list(self.sizes)} must rise; write e.g. [20, 40, 80]")
        return self


def load_study(path: Path) -> StudyConfig:
    """Read and check a study's YAML file; paths in it count from the file.

    Raises:
        ConfigError: with every problem.
    """
    _, content, problems = read_yaml(path)
    said = [f"line {line}: {text}" for line, text in problems]
    try:
        config = StudyConfig.model_validate(content)
    except ValidationError as error:
        said += problems_of(error)
    if said:
        raise ConfigError(path, said)
    return with_absolute_paths(config, path)
