"""Constant temperature and pressure: Langevin dynamics with stochastic cell rescaling, isotropic.

Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020). With lambda = sqrt(V) the volume's equation has
noise of constant strength (their section on the integration):

    d lambda = -(beta lambda / (2 tau)) (P0 - P - kT/(2V)) dt + sqrt(kT beta / (2 tau)) dW

    P = 2K/(3V) - tr(stress)/3

One step is BAOAB (`exploration.dynamics.langevin`) with the cell in its middle:

    B A O   as there
    C       lambda' <- lambda + d lambda      mu = (lambda'/lambda)^(2/3)
            x <- mu x,  cell <- mu cell,  v <- v / mu
    A B     as there

    V, K    volume, kinetic energy            `volume` (Å^3), `kinetic_energy` (eV)
    stress  mean of the committee             `stress` (eV/Å^3), of the step's beginning
    P0      pressure of the bath              `pressure_GPa`
    T       temperature of the bath           `temperature_K`
    tau     relaxation time of the volume     `barostat_time_fs`
    beta    isothermal compressibility        `compressibility_per_GPa`
    dW      Wiener increment, sqrt(dt) R      R of the replica's own generator

Its stationary distribution is the isothermal-isobaric ensemble, exp(-(K + U + P0 V)/kT) with the measure
dV, for any beta and tau: N atoms of an ideal gas have <V> = (N + 1) kT/P0 and var V = (N + 1) (kT/P0)^2.
The time step's error in the volume is of first order in dt/tau. beta and tau enter as beta/tau alone: a
volume whose true compressibility is beta_true relaxes in tau beta_true/beta.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from jaxtyping import Float64
from pydantic import Field

from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.units import BOLTZMANN_EV_PER_K, GPA_EV_PER_ANGSTROM3

if TYPE_CHECKING:
    from torch import Tensor

    from exploration.dynamics.state import MDState
    from potential.force_model import ForceModel


class NPT(Config):
    """Constant temperature and pressure; the cell of a crystal or liquid keeps its shape, not its volume."""

    scheme: Literal["npt"] = "npt"
    pressure_GPa: Annotated[
        float,
        Field(
            ge=-100,
            le=10_000,
            description="of the bath; one atmosphere is 0.0001; below 0 the cell is pulled, no material "
            "bears -100",
        ),
    ] = 0.0
    friction_per_fs: Annotated[
        float,
        Field(ge=1e-9, le=100, description="of the thermostat; 1e-9 never acts, 100 stops every motion"),
    ] = 0.01
    barostat_time_fs: Annotated[
        float,
        Field(
            ge=50,
            le=1e6,
            description="in which the volume relaxes; below 50 it would follow single vibrations",
        ),
    ] = 500.0
    compressibility_per_GPa: Annotated[
        float,
        Field(
            ge=1e-4,
            le=100,
            description="estimate, its error changes how fast the volume relaxes and nothing else; diamond "
            "0.002, metals 0.01, water 0.5",
        ),
    ] = 0.01

    def check(self, frame: Frame) -> None:
        """Raise ValueError for a frame whose volume is not defined."""
        if not all(frame.pbc):
            raise ValueError(
                f"exploration.ensemble.scheme npt changes the volume of a cell, and {frame.formula} is not "
                f"periodic in three directions (pbc {list(frame.pbc)}); write scheme: langevin, or give a "
                "structure with a cell and pbc True True True"
            )

    def init(
        self, force_model: ForceModel, frames: Sequence[Frame], temperatures_K: Sequence[float], *, seed: int
    ) -> MDState:
        from exploration.dynamics.state import start

        for frame in frames:
            self.check(frame)
        return start(force_model, frames, temperatures_K, seed=seed, stress=True)

    def step(self, force_model: ForceModel, state: MDState, *, timestep_fs: float) -> MDState:
        from exploration.dynamics.moves import drift, evaluated, kick, scaled, thermalised

        half = 0.5 * timestep_fs
        state = kick(state, half)
        state = drift(state, half)
        state = thermalised(state, self.friction_per_fs * timestep_fs)
        state = scaled(state, self._factor(state, timestep_fs))
        state = drift(state, half)
        state = evaluated(force_model, state, stress=True)
        return kick(state, half)

    def stride(self, state: MDState, *, timestep_fs: float) -> Float64[Tensor, "structures"]:
        from exploration.dynamics.moves import stride

        # An image moves with its lattice vector.
        longest = state.structures.cell.norm(dim=2).amax(1)
        strain = self._mobility(timestep_fs) * self._drive(state) / 1.5
        return stride(state, timestep_fs).maximum(strain.abs() * longest)

    def _factor(self, state: MDState, timestep_fs: float) -> Float64[Tensor, "structures"]:
        """mu of C."""
        from exploration.dynamics.state import noise_per_replica

        mobility, kT = self._mobility(timestep_fs), BOLTZMANN_EV_PER_K * state.temperature_K
        root = state.volume.sqrt()
        fresh = (mobility * kT).sqrt() * noise_per_replica(state.generators)
        # |lambda'|: V is lambda^2 on either side of 0, so the volume stays positive for any noise.
        return ((root + mobility * self._drive(state) * root + fresh) / root).abs() ** (2 / 3)

    def _mobility(self, timestep_fs: float) -> float:
        """beta dt / (2 tau), Angstrom^3/eV."""
        beta = self.compressibility_per_GPa / GPA_EV_PER_ANGSTROM3
        return beta * timestep_fs / (2 * self.barostat_time_fs)

    def _drive(self, state: MDState) -> Float64[Tensor, "structures"]:
        """P + kT/(2V) - P0, eV/Angstrom^3; NaN where the stress is."""
        volume, kT = state.volume, BOLTZMANN_EV_PER_K * state.temperature_K
        return state.pressure + kT / (2 * volume) - self.pressure_GPa * GPA_EV_PER_ANGSTROM3
