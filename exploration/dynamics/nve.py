"""Constant energy: velocity Verlet (Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982)).

B   v <- v + (dt/2) F/m
A   x <- x + dt v
B   v <- v + (dt/2) F/m

x, v    positions, velocities      `structures.positions` (Å), `velocities` (Å/fs)
F, m    mean force, mass           `forces` (eV/Å), `masses` (amu)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float64

from potential.data.config import Config
from potential.data.frame import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from exploration.dynamics.state import MDState
    from potential.force_model import ForceModel


class NVE(Config):
    """Constant energy; the temperature is that of the first velocities, then the system's own."""

    scheme: Literal["nve"] = "nve"

    def check(self, frame: Frame) -> None:
        """Any frame will do."""

    def init(
        self, force_model: ForceModel, frames: Sequence[Frame], temperatures_K: Sequence[float], *, seed: int
    ) -> MDState:
        from exploration.dynamics.state import start

        return start(force_model, frames, temperatures_K, seed=seed)

    def step(self, force_model: ForceModel, state: MDState, *, timestep_fs: float) -> MDState:
        from exploration.dynamics.moves import drift, evaluated, kick

        half = 0.5 * timestep_fs
        state = kick(state, half)
        state = drift(drift(state, half), half)  # in halves: the limit of Langevin to the last bit
        state = evaluated(force_model, state)
        return kick(state, half)

    def stride(self, state: MDState, *, timestep_fs: float) -> Float64[Tensor, "structures"]:
        from exploration.dynamics.moves import stride

        return stride(state, timestep_fs)
