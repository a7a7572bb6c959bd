"""Constant temperature: Langevin dynamics in the BAOAB splitting.

Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 and J. Chem. Phys. 138, 174102 (2013):

    B   v <- v + (dt/2) F/m
    A   x <- x + (dt/2) v
    O   v <- c1 v + sqrt((1 - c1^2) kT/m) R        c1 = exp(-gamma dt)
    A   x <- x + (dt/2) v
    B   v <- v + (dt/2) F/m

    x, v    positions, velocities      `structures.positions` (Å), `velocities` (Å/fs)
    F, m    mean force, mass           `forces` (eV/Å), `masses` (amu)
    gamma   friction                   `friction_per_fs`
    R       standard normal numbers    of the replica's own generator

For a harmonic well the positions are sampled without an error of the time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from jaxtyping import Float64
from pydantic import Field

from potential.data.config import Config
from potential.data.frame import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from exploration.dynamics.state import MDState
    from potential.force_model import ForceModel


class Langevin(Config):
    """Constant temperature and cell; every degree of freedom is coupled to the heat bath."""

    scheme: Literal["langevin"] = "langevin"
    friction_per_fs: Annotated[
        float,
        Field(ge=1e-9, le=100, description="of the thermostat; 1e-9 never acts, 100 stops every motion"),
    ] = 0.01

    def check(self, frame: Frame) -> None:
        """Any frame will do."""

    def init(
        self, force_model: ForceModel, frames: Sequence[Frame], temperatures_K: Sequence[float], *, seed: int
    ) -> MDState:
        from exploration.dynamics.state import start

        return start(force_model, frames, temperatures_K, seed=seed)

    def step(self, force_model: ForceModel, state: MDState, *, timestep_fs: float) -> MDState:
        from exploration.dynamics.moves import drift, evaluated, kick, thermalised

        half = 0.5 * timestep_fs
        state = kick(state, half)
        state = drift(state, half)
        state = thermalised(state, self.friction_per_fs * timestep_fs)
        state = drift(state, half)
        state = evaluated(force_model, state)
        return kick(state, half)

    def stride(self, state: MDState, *, timestep_fs: float) -> Float64[Tensor, "structures"]:
        from exploration.dynamics.moves import stride

        return stride(state, timestep_fs)
