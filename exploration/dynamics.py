"""Langevin molecular dynamics of many replicas, all in one call of the force model per step.

The BAOAB splitting of Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 and J. Chem. Phys.
138, 174102 (2013):

    B   v <- v + (dt/2) F/m
    A   x <- x + (dt/2) v
    O   v <- c1 v + sqrt((1 - c1^2) kT/m) R        c1 = exp(-gamma dt)
    A   x <- x + (dt/2) v
    B   v <- v + (dt/2) F/m

    x, v    positions, velocities      `structures.positions` (Å), `velocities` (Å/fs)
    F, m    mean force, mass           `forces` (eV/Å), `masses` (amu)
    gamma   friction                   `friction_per_fs`
    R       standard normal numbers    of the replica's own generator

For a harmonic well the positions are sampled without an error of the time step. With gamma = 0, O
does nothing and the scheme is velocity Verlet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.data import atomic_masses
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from potential.data.frame import Frame
from potential.data.units import BOLTZMANN_EV_PER_K, FORCE_TO_ACCELERATION
from potential.evaluation import ForceModel
from potential.nequip.batch import CommitteePrediction, Structures


@dataclass(frozen=True, kw_only=True, eq=False)
class MDState:
    """Replicas at one instant, in float64 on the CPU.

    The generators move on with every step, so a state serves for one continuation only.

    Attributes:
        structures: one per replica; positions in Angstrom, never wrapped into the cell.
        velocities: Angstrom/fs.
        masses: amu.
        temperature_K: of each replica's heat bath.
        prediction: what the force model says at these positions.
        replica: number of each replica, kept when others leave the batch.
        generators: one per replica, so that no replica's noise depends on the others.
    """

    structures: Structures
    velocities: Float64[Tensor, "atoms 3"]
    masses: Float64[Tensor, "atoms"]
    temperature_K: Float64[Tensor, "structures"]
    prediction: CommitteePrediction
    replica: Int64[Tensor, "structures"]
    generators: tuple[torch.Generator, ...]

    @property
    def n_replicas(self) -> int:
        return self.structures.n_structures

    @property
    def forces(self) -> Float64[Tensor, "atoms 3"]:
        """Mean of the committee, eV/Angstrom."""
        return self.prediction.mean_forces.detach().to(self.structures.positions)

    @property
    def kinetic_energy(self) -> Float64[Tensor, "structures"]:
        """eV."""
        per_atom = 0.5 * self.masses * self.velocities.square().sum(1) / FORCE_TO_ACCELERATION
        return per_atom.new_zeros(self.n_replicas).index_add(0, self.structures.structure, per_atom)

    @property
    def kinetic_temperature(self) -> Float64[Tensor, "structures"]:
        """K; 2 E_kin / (3 N k): all 3N degrees of freedom are coupled to the heat bath."""
        return self.kinetic_energy * 2 / (3 * self.structures.n_atoms * BOLTZMANN_EV_PER_K)

    def keep(self, mask: Bool[Tensor, "structures"]) -> MDState:
        """Only the replicas where `mask` is true (at least one); the others leave the batch."""
        s, p = self.structures, self.prediction
        atoms = mask[s.structure]
        new_index = mask.cumsum(0) - 1
        return MDState(
            structures=Structures(
                numbers=s.numbers[atoms],
                positions=s.positions[atoms],
                structure=new_index[s.structure[atoms]],
                cell=s.cell[mask],
                pbc=s.pbc[mask],
            ),
            velocities=self.velocities[atoms],
            masses=self.masses[atoms],
            temperature_K=self.temperature_K[mask],
            prediction=CommitteePrediction(
                energy=p.energy[:, mask],
                forces=p.forces[:, atoms],
                stress=None if p.stress is None else p.stress[:, mask],
            ),
            replica=self.replica[mask],
            generators=tuple(g for g, kept in zip(self.generators, mask.tolist(), strict=True) if kept),
        )


def start_md(
    force_model: ForceModel, frames: Sequence[Frame], temperatures_K: Sequence[float], *, seed: int
) -> MDState:
    """Replicas at `frames`, one temperature each, velocities from the Maxwell-Boltzmann distribution.

    Nothing is projected out: Langevin dynamics couples all 3N degrees of freedom, the motion and the
    rotation of the whole included, and this is its stationary distribution.

    Raises:
        ValueError: where frames and temperatures differ in number.
    """
    if len(frames) != len(temperatures_K):
        raise ValueError(f"{len(frames)} frames need as many temperatures, got {len(temperatures_K)}")
    structures = Structures.of(frames)
    masses = torch.from_numpy(atomic_masses)[structures.numbers]
    temperature = torch.tensor(temperatures_K, dtype=torch.float64)
    generators = tuple(_generator(seed, i) for i in range(len(frames)))
    thermal = _thermal_velocity(temperature, structures, masses)
    return MDState(
        structures=structures,
        velocities=thermal * _noise(generators, structures),
        masses=masses,
        temperature_K=temperature,
        prediction=force_model(structures),
        replica=torch.arange(len(frames)),
        generators=generators,
    )


def langevin_step(
    force_model: ForceModel, state: MDState, *, timestep_fs: float, friction_per_fs: float
) -> MDState:
    """One BAOAB step: one call of the force model."""
    s, m = state.structures, state.masses[:, None]
    kick = 0.5 * timestep_fs * FORCE_TO_ACCELERATION / m
    v = state.velocities + kick * state.forces
    x = s.positions + 0.5 * timestep_fs * v
    if friction_per_fs > 0:
        c1 = math.exp(-friction_per_fs * timestep_fs)
        thermal = _thermal_velocity(state.temperature_K, s, state.masses)
        v = c1 * v + math.sqrt(1 - c1**2) * thermal * _noise(state.generators, s)
    x = x + 0.5 * timestep_fs * v
    moved = s.at(x)
    after = replace(state, structures=moved, velocities=v, prediction=force_model(moved))
    return replace(after, velocities=v + kick * after.forces)


def stride(state: MDState, *, timestep_fs: float) -> Float64[Tensor, "structures"]:
    """The largest distance that an atom is about to move in the next step, Angstrom, noise left out.

    NaN or infinite where forces or velocities are: to be compared so that NaN counts as too far.
    """
    acceleration = state.forces * FORCE_TO_ACCELERATION / state.masses[:, None]
    atoms = (timestep_fs * state.velocities + 0.5 * timestep_fs**2 * acceleration).norm(dim=1)
    zeros = atoms.new_zeros(state.n_replicas)
    return zeros.scatter_reduce(0, state.structures.structure, atoms, reduce="amax")


def _thermal_velocity(
    temperature_K: Float64[Tensor, "structures"], structures: Structures, masses: Float64[Tensor, "atoms"]
) -> Float64[Tensor, "atoms 1"]:
    """sqrt(kT/m) of each atom, Angstrom/fs."""
    kT = BOLTZMANN_EV_PER_K * temperature_K[structures.structure]
    return (kT * FORCE_TO_ACCELERATION / masses).sqrt()[:, None]


def _noise(generators: Sequence[torch.Generator], structures: Structures) -> Float64[Tensor, "atoms 3"]:
    sizes = structures.n_atoms.tolist()
    return torch.cat(
        [torch.randn(n, 3, generator=g, dtype=torch.float64) for n, g in zip(sizes, generators, strict=True)]
    )


def _generator(seed: int, replica: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, replica]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
