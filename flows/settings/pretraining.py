"""What the committee learns before the first label of the campaign's own level."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from exploration.teacher_md import TeacherMD
from labeling.ase_level import AseLevel
from labeling.level import LevelOfTheory, PySCFLevel
from potential.data.config import Config
from potential.data.frame import Frame
from potential.training.training_config import Count, TrainingConfig

GFN2_XTB = AseLevel(calculator="tblite.ase.TBLite", parameters={"method": "GFN2-xTB"})
LAST_ELEMENT_OF_GFN2 = 86
"""GFN2-xTB has parameters up to radon."""

FineTuningRate = Annotated[
    float,
    Field(
        ge=1e-12,
        le=1,
        description="of the rounds' trainings, in place of training.learning_rate: the weights "
        "shall move less than from scratch",
    ),
]


Guard = Annotated[
    bool,
    Field(
        description="train on three quarters of the initial labels with and without, and go on with what is "
        "better on the rest; costs two trainings"
    ),
]


class NoPretraining(Config):
    """Every committee begins from random weights."""

    method: Literal["none"] = "none"


class AutomaticPretraining(Config):
    """From GFN2-xTB, where that can be: DFT labels of molecules, and tblite installed."""

    method: Literal["auto"] = "auto"


class FromTeacher(Config):
    """Dynamics and labels of a cheap method come first; the DFT labels then only correct it."""

    method: Literal["teach"] = "teach"
    teacher: Annotated[AseLevel, Field(description="the cheap method, a calculator of ASE")] = GFN2_XTB
    frames: Annotated[
        int,
        Field(ge=20, le=10_000_000, description="frames of the teacher; a twentieth is held out"),
    ] = 6000
    dynamics: Annotated[TeacherMD, Field(description="how these frames are made")] = TeacherMD()
    batch_size: Annotated[int, Field(ge=1, le=100_000, description="teacher's frames per step")] = 10
    max_steps: Annotated[Count, Field(description="gradient steps on the teacher's labels")] = 12_000
    learning_rate: Annotated[float, Field(ge=1e-12, le=1, description="of the training on its labels")] = 0.02
    fine_tuning_rate: FineTuningRate = 0.005
    guard: Guard = False

    def training(self, rounds: TrainingConfig) -> TrainingConfig:
        """The training on the teacher's labels; what is not said here is as in the rounds."""
        ours = {
            "batch_size": self.batch_size,
            "max_steps": self.max_steps,
            "max_epochs": 1_000_000_000,
            "max_seconds": None,
            "learning_rate": self.learning_rate,
            "schedule": "cosine",
            "validation_fraction": 0.0,
            "early_stop_patience_epochs": None,
            "checkpoint_every_epochs": 1,
            "energy_shifts": "least_squares",
            "bootstrap": "none",
        }
        if not self.teacher.can.stress:
            ours["stress_weight"] = 0.0
        return TrainingConfig.model_validate(rounds.model_dump() | ours)


class FromPotential(Config):
    """The weights of a potential that was trained before, of the same architecture."""

    method: Literal["potential"] = "potential"
    path: Annotated[Path, Field(description="its folder; `pretraining: {from: FOLDER}` says the same")]
    fine_tuning_rate: FineTuningRate = 0.005
    guard: Guard = False


def why_not(level: LevelOfTheory, structures: Sequence[Frame]) -> str | None:
    """Why `auto` does without pretraining; None where GFN2-xTB can teach."""
    if not isinstance(level, PySCFLevel):
        return f"labels of {level.name} are cheap, or of crystals"
    if any(any(frame.pbc) for frame in structures):
        return "the structures are periodic"
    if any(int(frame.numbers.max()) > LAST_ELEMENT_OF_GFN2 for frame in structures):
        return "GFN2-xTB has no parameters beyond radon"
    if find_spec("tblite") is None:
        return "tblite is not installed"
    return None


def _as_mapping(value: Any) -> Any:
    """The short forms: `off`, `auto`, `{from: FOLDER}`, and a teacher's settings without `method`."""
    if value is None or value is False or value in ("off", "none"):
        return {"method": "none"}
    if value == "auto":
        return {"method": "auto"}
    if value is True or value == "on":
        return {"method": "teach"}
    if isinstance(value, str):
        raise ValueError(f"{value!r} is none of off, auto and on; or write the settings, e.g. frames: 6000")
    if isinstance(value, dict) and "method" not in value:
        if "from" in value:
            return {"method": "potential", "path": value["from"], **_without(value, "from")}
        return {"method": "teach", **value}
    return value


def _without(mapping: dict[Any, Any], key: str) -> dict[Any, Any]:
    return {k: v for k, v in mapping.items() if k != key}


Pretraining = Annotated[
    NoPretraining | AutomaticPretraining | FromTeacher | FromPotential,
    Field(discriminator="method"),
    BeforeValidator(_as_mapping),
]
