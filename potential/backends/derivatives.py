"""Energies, forces and stress of a committee from one backward pass.

With d_e the vector of edge e from its receiver i to its sender j, and s_e = dE/dd_e:

  F_i = sum_{e: receiver i} s_e - sum_{e: sender i} s_e
  stress = 1/V sum_e sym(d_e (x) s_e)          (the derivative of E by the strain, per volume)
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.backends.backend import Backend
from potential.nequip.batch import CommitteePrediction, Structures
from potential.nequip.graph import Topology
from potential.nequip.neighbors import Edges, neighbor_list


def energy_and_forces(
    backend: Backend,
    structures: Structures,
    edges: Edges | None = None,
    *,
    species: Int[Tensor, "atoms"] | None = None,
    stress: bool = False,
) -> CommitteePrediction:
    """Evaluate a committee on a batch, in float64 (the total energies include the shifts).

    Args:
        edges: the neighbour list, searched here if not given.
        species: index of each atom's element in the model, looked up here if not given.
        stress: also compute the stress (zero for structures without a volume).
    """
    model = backend.model
    if edges is None:
        edges = neighbor_list(structures, model.config.r_max)
    if species is None:
        species = model.species_of(structures.numbers)
    vectors = edges.vectors(structures.positions.detach())
    graph = model.graph(species, edges, vectors)
    energy, slope = backend.energy_and_slope(graph)
    shift = model.shift_energy(species).unsqueeze(0)
    return CommitteePrediction(
        energy=sum_structures(energy.double() + shift, structures),
        forces=forces_from(slope, graph.topology).double(),
        stress=stress_from(structures, graph.topology, vectors, slope.double()) if stress else None,
    )


def forces_from(
    slope: Float[Tensor, "members edges 3"], topology: Topology
) -> Float[Tensor, "members atoms 3"]:
    """Forces from the slopes of the edges."""
    forces = slope.new_zeros(slope.shape[0], len(topology.row) - 1, 3)
    return forces.index_add(1, topology.receiver, slope).index_add(1, topology.sender, -slope)


def sum_structures(
    atomic: Float[Tensor, "members atoms"], structures: Structures
) -> Float[Tensor, "members structures"]:
    """Sum over the atoms of each structure."""
    total = atomic.new_zeros(atomic.shape[0], structures.n_structures)
    return total.index_add(1, structures.structure, atomic)


def stress_from(
    structures: Structures,
    topology: Topology,
    vectors: Float[Tensor, "edges 3"],
    slope: Float[Tensor, "members edges 3"],
) -> Float[Tensor, "members structures 3 3"]:
    """Stress of each structure from the slopes of the edges."""
    virial = vectors.to(slope.dtype).unsqueeze(-1) * slope.unsqueeze(-2)
    virial = 0.5 * (virial + virial.transpose(2, 3))
    total = virial.new_zeros(virial.shape[0], structures.n_structures, 3, 3)
    total = total.index_add(1, structures.structure[topology.receiver], virial)
    volume = torch.linalg.det(structures.cell).abs()
    inverse = torch.where(volume > 0, 1.0 / volume, torch.zeros_like(volume))
    return total * inverse.to(slope.dtype).view(1, -1, 1, 1)
