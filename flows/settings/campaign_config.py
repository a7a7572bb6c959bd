"""The campaign's configuration: one frozen model, written as YAML."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from exploration.frame_sources import FramesConfig
from exploration.settings import ExplorationConfig, SurvivalTest
from exploration.strategies import Strategy
from exploration.strategies.kmeans_pp import WeightedKMeans
from flows.engines import AnyEngine, Threads
from flows.settings.pretraining import AutomaticPretraining, Pretraining
from flows.settings.review_config import Review
from flows.settings.stop_config import StopConfig
from labeling.level import LevelOfTheory
from labeling.workers import LabelingConfig
from potential.data.config import Config
from potential.data.frame import Frame
from potential.nequip.model_config import ModelConfig
from potential.training.training_config import TrainingConfig

MAIN_ARM = "active"
"""The arm that selects as `selection` says, and whose champion is published."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | os.PathLike) else value


def _not_of_mlflow(name: str) -> str:
    if name in ("mlflow.db", "mlruns"):
        raise ValueError(f"{name} lies beside the campaigns and is MLflow's; choose another name")
    return name


class StructureConfig(Config):
    """What the campaign is about: a molecule by name, or files with structures."""

    molecule: Annotated[str | None, Field(description="name in ASE's database, e.g. ethanol, H2O, C6H6")] = (
        None
    )
    files: Annotated[
        tuple[Path, ...],
        BeforeValidator(_as_list),
        Field(description="or: file(s) that ASE or pymatgen reads (xyz, cif, POSCAR, ...)"),
    ] = ()
    charge: Annotated[
        int | None,
        Field(ge=-1000, le=1000, description="elementary charges; null: what the file says, else 0"),
    ] = None
    spin: Annotated[
        int | None,
        Field(ge=0, le=1000, description="unpaired electrons; null: the fewest that are possible"),
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> StructureConfig:
        if (self.molecule is None) == (not self.files):
            raise ValueError("give either `molecule: ethanol` or `files: start.xyz`, and not both")
        return self

    def frames(self) -> list[Frame]:
        """The structures.

        Raises:
            ValueError, FileNotFoundError: unknown name, unreadable file, impossible structure.
        """
        from potential.data.structure_files import molecule, read_frames

        if self.molecule is not None:
            return [molecule(self.molecule, charge=self.charge or 0, spin=self.spin)]
        return [f for file in self.files for f in read_frames(file, charge=self.charge, spin=self.spin)]


class FrameSetConfig(Config):
    """How many frames, and how they are made."""

    frames: Annotated[
        int, Field(ge=1, le=1_000_000, description="how many; each is labelled, so at most a million")
    ] = 20
    source: Annotated[FramesConfig, Field(description="how they are made")]


class LabelingSettings(LabelingConfig):
    """How and where a campaign's labels are computed; none of it changes their numbers."""

    engine: Annotated[
        AnyEngine,
        Field(
            description="where: threads, local_cluster, {dask: ADDRESS}, {slurm: SITE FILE} or "
            "{kubernetes: SITE FILE}"
        ),
    ] = Threads()

    @property
    def on_a_node(self) -> LabelingConfig:
        """What a process that computes labels has to know."""
        return LabelingConfig(**{name: getattr(self, name) for name in LabelingConfig.model_fields})


class CampaignConfig(Config):
    """One active-learning campaign. Paths are relative to the YAML file; units are in the names."""

    name: Annotated[
        str,
        # 200: file systems take 255 bytes in a name, and something is always added
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            max_length=200,
            description="names the folder and the experiment",
        ),
        AfterValidator(_not_of_mlflow),
    ]
    structure: StructureConfig
    seed: Annotated[
        int, Field(ge=0, lt=2**63, description="everything random follows from it; a 64-bit number")
    ] = 0
    rounds: Annotated[
        int,
        Field(ge=0, le=10_000, description="turns of train, explore, select, label; a last training follows"),
    ] = 3
    folder: Annotated[Path, Field(description="where campaign folders are made")] = Path("campaigns")
    initial: Annotated[FrameSetConfig, Field(description="frames that are labelled before the first round")]
    test: Annotated[FrameSetConfig, Field(description="frozen test set, never trained on")]
    test_broad: Annotated[
        FrameSetConfig | None,
        Field(
            description="a second frozen test set, farther out: hotter or displaced, e.g. "
            "{frames: 50, source: {method: xtb_md, temperatures_K: [1000.0]}}"
        ),
    ] = None
    level: Annotated[LevelOfTheory, Field(description="level of theory of the reference labels")]
    labeling: Annotated[LabelingSettings, Field(description="how labels are computed")] = LabelingSettings()
    model: Annotated[ModelConfig, Field(description="the NequIP committee")] = ModelConfig()
    training: Annotated[TrainingConfig, Field(description="its training, anew in each round")] = (
        TrainingConfig()
    )
    pretraining: Annotated[
        Pretraining,
        Field(
            description="what the committee learns first, from a cheap method; off: nothing; auto: from "
            "GFN2-xTB for molecules"
        ),
    ] = AutomaticPretraining()
    exploration: Annotated[ExplorationConfig, Field(description="molecular dynamics with the committee")] = (
        ExplorationConfig()
    )
    survival: Annotated[
        SurvivalTest | None,
        Field(description="dynamics by which each round's survival is measured, e.g. {replicas: 4}"),
    ] = None
    selection: Annotated[Strategy, Field(description="which of the explored frames are labelled")] = (
        WeightedKMeans()
    )
    review: Annotated[
        Review,
        Field(
            description="before_labels: a person approves each selection (`alnico review`), or "
            "{time_out_hours: 48, then: approve}; null: nobody is asked"
        ),
    ] = None
    stop: Annotated[StopConfig, Field(description="when it may end before its last round")] = StopConfig()
    arms: Annotated[
        dict[str, Strategy],
        Field(description="other ways to select, each with its own rounds from the same start, by name"),
    ] = {}  # noqa: RUF012 (pydantic copies it)

    @property
    def wants_expected_errors(self) -> bool:
        """Whether anything goes by the expected errors of explored frames."""
        return self.exploration.error_bounds is not None or self.stop.force_error_meV_per_A is not None

    @field_validator("arms")
    @classmethod
    def _names_of_folders(cls, arms: dict[str, Strategy]) -> dict[str, Strategy]:
        for name in arms:
            if name == MAIN_ARM or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
                raise ValueError(
                    f"{name!r} cannot name an arm; write lower-case letters, digits, - or _, at most 40, "
                    f"and not `{MAIN_ARM}`, which is the campaign's own selection"
                )
        return arms


def campaign_schema() -> dict[str, Any]:
    """The JSON schema of `campaign.yaml`, for editors that complete and check it."""
    schema = CampaignConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
