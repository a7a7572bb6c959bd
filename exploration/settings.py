"""Settings of how frames are made and explored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from exploration.dynamics.bias import Bias
from exploration.dynamics.langevin import Langevin
from exploration.dynamics.nve import NVE
from exploration.dynamics.scheme import Ensemble
from potential.data.config import Config

# 1e5 K is 9 eV: no bond is left. 1e9 steps are years, 1e6 replicas more than any memory holds.
Temperature = Annotated[float, Field(gt=0, le=1e5)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=1000)]
# 0.001 fs is a thousandth of what the stiffest bond needs.
Timestep = Annotated[float, Field(ge=1e-3, le=100, description="fs; beyond 100 no bond is followed")]
Duration = Annotated[float, Field(ge=0, le=1e9)]
Disagreement = Annotated[float, Field(ge=0, le=1e4)]
# 1e7 meV/Å, as 1e4 eV/Å of disagreement: no force of a molecule is so large.
ForceError = Annotated[float, Field(ge=0, le=1e7)]
MinDistanceFactor = Annotated[
    float,
    Field(
        gt=0,
        lt=1,
        description="atoms may not come nearer than this fraction of the sum of their covalent radii",
    ),
]


class SurvivalTest(Config):
    """Molecular dynamics of each round's committee, from the same starts and with the same noise every time.

    Nothing but what is unphysical stops a replica here, so that rounds compare.
    """

    replicas: Annotated[
        int, Field(ge=1, le=100_000, description="at each temperature, from the initial frames")
    ] = 4
    temperatures_K: Annotated[Temperatures, Field(description="e.g. 300 and the highest of use")] = (
        300.0,
        600.0,
    )
    n_steps: Annotated[int, Field(ge=1, le=1_000_000_000, description="of the exploration's timestep_fs")] = (
        2000
    )


class ErrorBounds(Config):
    """The band in expected force errors of the frame's worst atom, which the calibration says."""

    lower_meV_per_A: Annotated[
        ForceError,
        Field(description="expected force error below which a frame teaches nothing"),
    ] = 50.0
    upper_meV_per_A: Annotated[
        ForceError, Field(description="above this error a frame is failed: too far off to be worth a label")
    ] = 1000.0
    stop_meV_per_A: Annotated[ForceError, Field(description="above this error the replica stops")] = 3000.0
    judged_by: Annotated[
        Literal["expected", "68%", "90%", "95%"],
        Field(description="the expected error, or what it stays below in so many cases of a hundred"),
    ] = "expected"

    @property
    def level(self) -> float | None:
        """Of the interval whose end is compared with the bounds; None for the expected error itself."""
        return None if self.judged_by == "expected" else float(self.judged_by.rstrip("%")) / 100

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> ErrorBounds:
        if not self.lower_meV_per_A < self.upper_meV_per_A <= self.stop_meV_per_A:
            raise ValueError(
                f"lower_meV_per_A {self.lower_meV_per_A}, upper_meV_per_A {self.upper_meV_per_A}, "
                f"stop_meV_per_A {self.stop_meV_per_A} must rise in this order; write e.g. 50, 1000, 3000"
            )
        return self


class ExplorationConfig(Config):
    """Molecular dynamics with the committee, in search of frames it does not know yet."""

    n_replicas: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="trajectories at once; all go through one model call"),
    ] = 8
    temperatures_K: Annotated[
        Temperatures, Field(description="temperature ladder; replicas take its rungs in turn")
    ] = (300.0, 500.0)
    timestep_fs: Timestep = 0.5
    n_steps: Annotated[
        int, Field(ge=1, le=1_000_000_000, description="steps of each replica, if it survives")
    ] = 2000
    record_every: Annotated[
        int, Field(ge=1, le=1_000_000_000, description="steps between frames that are scored and recorded")
    ] = 20
    ensemble: Annotated[
        Ensemble,
        Field(description="nve (constant energy), langevin (temperature) or npt (pressure too)"),
    ] = Langevin()
    bias: Annotated[
        Bias | None,
        Field(description="push the replicas to where the committee disagrees, e.g. {strength: 0.25}"),
    ] = None
    restart_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="part of the replicas that start from the most uncertain frames of the last round "
            "which their replicas survived, instead of labelled ones",
        ),
    ] = 0.0
    lower_eV_per_A: Annotated[
        Disagreement,
        Field(description="largest atomic force disagreement below which the members agree on a frame"),
    ] = 0.1
    upper_eV_per_A: Annotated[
        Disagreement,
        Field(description="above this disagreement a frame is failed: too far off to be worth a label"),
    ] = 1.0
    stop_eV_per_A: Annotated[Disagreement, Field(description="above this disagreement the replica stops")] = (
        2.0
    )
    error_bounds: Annotated[
        ErrorBounds | None,
        Field(
            description="instead of the three bounds above, in expected errors: {lower_meV_per_A: 50, ...}; "
            "rounds without a calibration go by the disagreement"
        ),
    ] = None
    max_extrapolation: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e6,
            description="a frame on which the members agree is a candidate all the same if an atom's "
            "surroundings are so many times farther from training than usual; null: never",
        ),
    ] = 1.5
    min_distance_factor: MinDistanceFactor = 0.65
    max_temperature_factor: Annotated[
        float,
        Field(gt=1, le=1e6, description="a replica stops above this multiple of its temperature"),
    ] = 5.0
    max_volume_factor: Annotated[
        float,
        Field(
            gt=1,
            le=1000,
            description="a replica stops where its cell grows or shrinks by more than this factor",
        ),
    ] = 1.5

    def of_survival(self, test: SurvivalTest) -> ExplorationConfig:
        """These dynamics without bias or bounds on disagreement, as `test` asks for them."""
        none = {"lower_eV_per_A": 1e4 - 1, "upper_eV_per_A": 1e4, "stop_eV_per_A": 1e4, "error_bounds": None}
        return self.model_copy(
            update=none
            | {
                "bias": None,
                "restart_share": 0.0,
                "n_replicas": test.replicas * len(test.temperatures_K),
                "temperatures_K": test.temperatures_K,
                "n_steps": test.n_steps,
                "record_every": min(self.record_every, test.n_steps),
            }
        )

    @property
    def telling_error(self) -> float:
        """eV/Å: the error of an atom that disagreement ought to tell, where a label begins to be worth it."""
        return self.lower_eV_per_A if self.error_bounds is None else self.error_bounds.lower_meV_per_A / 1000

    @model_validator(mode="before")
    @classmethod
    def _friction_is_the_ensembles(cls, data: Any) -> Any:
        """`friction_per_fs` stood beside `timestep_fs` once; 0 was constant energy."""
        if not isinstance(data, Mapping) or "friction_per_fs" not in data:
            return data
        rest = {key: value for key, value in data.items() if key != "friction_per_fs"}
        friction = data["friction_per_fs"]
        if "ensemble" in rest:
            raise ValueError(
                f"friction_per_fs {friction} stands beside ensemble; write it inside, e.g. "
                "ensemble: {scheme: langevin, friction_per_fs: 0.01}"
            )
        old = {"scheme": "nve"} if friction == 0 else {"scheme": "langevin", "friction_per_fs": friction}
        return rest | {"ensemble": old}

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> ExplorationConfig:
        if not self.lower_eV_per_A < self.upper_eV_per_A <= self.stop_eV_per_A:
            raise ValueError(
                f"lower_eV_per_A {self.lower_eV_per_A}, upper_eV_per_A {self.upper_eV_per_A}, "
                f"stop_eV_per_A {self.stop_eV_per_A} must rise in this order; write e.g. 0.1, 1.0, 2.0"
            )
        if self.bias is not None and isinstance(self.ensemble, NVE):
            raise ValueError(
                "bias puts energy into the replicas, and nve has no thermostat to take it; write "
                "ensemble: {scheme: langevin}, or leave bias out"
            )
        if self.record_every > self.n_steps:
            raise ValueError(
                f"record_every {self.record_every} exceeds n_steps {self.n_steps}: no frame would be "
                f"recorded; write at most record_every: {self.n_steps}"
            )
        return self
