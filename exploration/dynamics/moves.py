"""The pieces that schemes are composed of: each takes a state and returns the next one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from exploration.dynamics.state import MDState, noise, thermal_velocity
from potential.data.units import FORCE_TO_ACCELERATION
from potential.force_model import ForceModel


def kick(state: MDState, time_fs: float) -> MDState:
    """B: v <- v + time F/m."""
    by_mass = time_fs * FORCE_TO_ACCELERATION / state.masses[:, None]
    return replace(state, velocities=state.velocities + by_mass * state.forces)


def drift(state: MDState, time_fs: float) -> MDState:
    """A: x <- x + time v. The prediction is left behind: `evaluated` brings it up to date."""
    s = state.structures
    return replace(state, structures=s.at(s.positions + time_fs * state.velocities))


def thermalised(state: MDState, friction_time: float) -> MDState:
    """O: v <- c1 v + sqrt((1 - c1^2) kT/m) R, c1 = exp(-friction_time)."""
    c1 = math.exp(-friction_time)
    thermal = thermal_velocity(state.temperature_K, state.structures, state.masses)
    fresh = math.sqrt(1 - c1**2) * thermal * noise(state.generators, state.structures)
    return replace(state, velocities=c1 * state.velocities + fresh)


def scaled(state: MDState, factor: Float64[Tensor, "structures"]) -> MDState:
    """Cell and positions times `factor`, velocities divided by it: phase space keeps its volume."""
    s = state.structures
    of_atoms = factor[s.structure][:, None]
    resized = replace(s, positions=s.positions * of_atoms, cell=s.cell * factor[:, None, None])
    return replace(state, structures=resized, velocities=state.velocities / of_atoms)


def evaluated(force_model: ForceModel, state: MDState, *, stress: bool = False) -> MDState:
    """The state with what the force model says at its positions."""
    return replace(state, prediction=force_model(state.structures, stress=stress))


def stride(state: MDState, timestep_fs: float) -> Float64[Tensor, "structures"]:
    """The largest distance that an atom is about to move in the next step, Angstrom, noise left out.

    NaN or infinite where forces or velocities are: to be compared so that NaN counts as too far.
    """
    acceleration = state.forces * FORCE_TO_ACCELERATION / state.masses[:, None]
    atoms = (timestep_fs * state.velocities + 0.5 * timestep_fs**2 * acceleration).norm(dim=1)
    zeros = torch.zeros(state.n_replicas, dtype=atoms.dtype)
    return zeros.scatter_reduce(0, state.structures.structure, atoms, reduce="amax")
