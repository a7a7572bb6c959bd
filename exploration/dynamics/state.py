"""Replicas at one instant, and how they start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import atomic_masses
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from potential.data.frame import Frame
from potential.data.units import BOLTZMANN_EV_PER_K, FORCE_TO_ACCELERATION
from potential.force_model import ForceModel
from potential.nequip.batch import CommitteePrediction, Structures


@dataclass(frozen=True, kw_only=True, eq=False)
class MDState:
    """Replicas at one instant, in float64 on the CPU.

    The generators move on with every step, so a state serves for one continuation only.

    Attributes:
        structures: one per replica; positions in Angstrom, never wrapped into the cell, which may move.
        velocities: Angstrom/fs.
        masses: amu.
        temperature_K: of each replica's heat bath.
        prediction: what the force model says at these positions, in this cell.
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
    def stress(self) -> Float64[Tensor, "structures 3 3"]:
        """Mean of the committee, eV/Angstrom^3, without the motion of the atoms.

        Raises:
            ValueError: where the force model was not asked for it.
        """
        stress = self.prediction.mean_stress
        if stress is None:
            raise ValueError("the force model gave no stress; call it with stress=True")
        return stress.detach().to(self.structures.positions)

    @property
    def volume(self) -> Float64[Tensor, "structures"]:
        """Angstrom^3; 0 for a molecule."""
        determinant: Tensor = torch.linalg.det(self.structures.cell)
        return determinant.abs()

    @property
    def kinetic_energy(self) -> Float64[Tensor, "structures"]:
        """eV."""
        per_atom = 0.5 * self.masses * self.velocities.square().sum(1) / FORCE_TO_ACCELERATION
        return per_atom.new_zeros(self.n_replicas).index_add(0, self.structures.structure, per_atom)

    @property
    def kinetic_temperature(self) -> Float64[Tensor, "structures"]:
        """K; 2 E_kin / (3 N k): all 3N degrees of freedom are coupled to the heat bath."""
        return self.kinetic_energy * 2 / (3 * self.structures.n_atoms * BOLTZMANN_EV_PER_K)

    @property
    def pressure(self) -> Float64[Tensor, "structures"]:
        """eV/Angstrom^3; 2 E_kin / (3V) - tr(stress)/3 of this instant.

        Raises:
            ValueError: where the force model was not asked for the stress.
        """
        trace = self.stress.diagonal(dim1=1, dim2=2).sum(1)
        return 2 * self.kinetic_energy / (3 * self.volume) - trace / 3

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


def start(
    force_model: ForceModel,
    frames: Sequence[Frame],
    temperatures_K: Sequence[float],
    *,
    seed: int,
    stress: bool = False,
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
    thermal = thermal_velocity(temperature, structures, masses)
    return MDState(
        structures=structures,
        velocities=thermal * noise(generators, structures),
        masses=masses,
        temperature_K=temperature,
        prediction=force_model(structures, stress=stress),
        replica=torch.arange(len(frames)),
        generators=generators,
    )


def thermal_velocity(
    temperature_K: Float64[Tensor, "structures"], structures: Structures, masses: Float64[Tensor, "atoms"]
) -> Float64[Tensor, "atoms 1"]:
    """sqrt(kT/m) of each atom, Angstrom/fs."""
    kT = BOLTZMANN_EV_PER_K * temperature_K[structures.structure]
    return (kT * FORCE_TO_ACCELERATION / masses).sqrt()[:, None]


def noise(generators: Sequence[torch.Generator], structures: Structures) -> Float64[Tensor, "atoms 3"]:
    """Standard normal numbers for every atom, each replica's from its own generator."""
    sizes = structures.n_atoms.tolist()
    return torch.cat(
        [torch.randn(n, 3, generator=g, dtype=torch.float64) for n, g in zip(sizes, generators, strict=True)]
    )


def noise_per_replica(generators: Sequence[torch.Generator]) -> Float64[Tensor, "structures"]:
    """A standard normal number for every replica, from its own generator."""
    return torch.cat([torch.randn(1, generator=g, dtype=torch.float64) for g in generators])


def _generator(seed: int, replica: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, replica]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
