"""Settings of how frames are made without a committee: to begin with, and to test on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from exploration.settings import Duration, MinDistanceFactor, Temperatures
from potential.data.config import Config


class XtbMD(Config):
    """Frames from molecular dynamics with GFN2-xTB: cheap, and right in kind for most chemistry."""

    method: Literal["xtb_md"] = "xtb_md"
    temperatures_K: Annotated[
        Temperatures, Field(description="one trajectory for each; the frames are shared out evenly")
    ] = (300.0, 500.0)
    timestep_fs: Annotated[
        float, Field(ge=1e-3, le=100, description="time step; about 1 with hydrogen atoms, 0.001 to 100")
    ] = 1.0
    equilibration_fs: Annotated[Duration, Field(description="time before the first frame is kept")] = 250.0
    spacing_fs: Annotated[
        float, Field(gt=0, le=1e9, description="time between frames that are kept; 1e9 is a microsecond")
    ] = 50.0
    friction_per_fs: Annotated[
        float,
        Field(ge=1e-9, le=100, description="of the thermostat; 1e-9 never acts, 100 stops every motion"),
    ] = 0.02
    min_distance_factor: MinDistanceFactor = 0.65

    @model_validator(mode="after")
    def _spacing_is_reachable(self) -> XtbMD:
        if self.spacing_fs < self.timestep_fs:
            raise ValueError(
                f"spacing_fs {self.spacing_fs} is shorter than timestep_fs {self.timestep_fs}; "
                "frames are at least one step apart, write e.g. spacing_fs: 50"
            )
        return self


class NormalModes(Config):
    """Frames along the normal modes of GFN2-xTB about the nearest minimum, as heat displaces them."""

    method: Literal["normal_modes"] = "normal_modes"
    temperatures_K: Annotated[
        Temperatures, Field(description="in turn; 1500 K stretches bonds by a tenth of an Angstrom")
    ] = (300.0, 600.0, 1200.0)
    min_distance_factor: MinDistanceFactor = 0.65


class EnergyContour(Config):
    """Frames along surfaces of one energy of GFN2-xTB, which lie far apart after a few steps."""

    method: Literal["energy_contour"] = "energy_contour"
    temperatures_K: Annotated[
        Temperatures,
        Field(description="in turn; the surface lies above the minimum by the mean potential energy of heat"),
    ] = (300.0, 600.0, 1200.0)
    steps_between: Annotated[
        int, Field(ge=1, le=1_000_000, description="steps between frames, up to max_step_A each")
    ] = 10
    max_step_A: Annotated[
        float, Field(ge=0.001, le=1, description="longest move of a step, by all atoms together; a bond is 1")
    ] = 0.5
    min_distance_factor: MinDistanceFactor = 0.65


class RandomDisplacement(Config):
    """Frames by moving every atom of the start at random; knows no chemistry, needs no extra method."""

    method: Literal["displacement"] = "displacement"
    std_A: Annotated[
        float,
        Field(ge=1e-6, le=0.5, description="standard deviation of each Cartesian displacement, Angstrom"),
    ] = 0.05
    strain_std: Annotated[
        float,
        Field(ge=0, le=0.1, description="standard deviation of each strain component, for crystals"),
    ] = 0.0
    min_distance_factor: MinDistanceFactor = 0.65


class FramesFromFile(Config):
    """Frames drawn at random from a file of the user's."""

    method: Literal["file"] = "file"
    path: Annotated[Path, Field(description="any file that ASE or pymatgen reads")]
    charge: Annotated[
        int | None,
        Field(ge=-1000, le=1000, description="elementary charges; by default what the file says, else 0"),
    ] = None
    spin: Annotated[
        int | None,
        Field(
            ge=0,
            le=1000,
            description="unpaired electrons (2S); by default what the file says, else the fewest",
        ),
    ] = None


FramesConfig = Annotated[
    XtbMD | NormalModes | EnergyContour | RandomDisplacement | FramesFromFile, Field(discriminator="method")
]
