"""Energies, forces and stress of a committee from one backward pass.

With d_e the vector of edge e from its receiver i to its sender j, and g_e = dE/dd_e:

  F_i = sum_{e: receiver i} g_e - sum_{e: sender i} g_e
  stress = 1/V sum_e sym(d_e (x) g_e)          (the derivative of E by the strain, per volume)

The edge vectors are expanded along a leading member axis, so that g_e comes out for each member.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from potential.batch import CommitteePrediction, Structures
from potential.neighbors import Edges, neighbor_list
from potential.nequip import NequIP


def energy_and_forces(
    model: NequIP,
    structures: Structures,
    edges: Edges | None = None,
    *,
    stress: bool = False,
    training: bool = False,
) -> CommitteePrediction:
    """Evaluate `model` on a batch.

    Args:
        edges: the neighbour list, searched here if not given.
        stress: also compute the stress (zero for structures without a volume).
        training: keep the graph, so that a loss on forces can be differentiated by the weights.
            Energies then leave out the constant shifts (see `NequIP.shift_energy`).
    """
    if edges is None:
        edges = neighbor_list(structures, model.config.r_max)
    species = model.species_of(structures.numbers)
    with torch.enable_grad():
        vectors = edges.vectors(structures.positions.detach()).to(model.dtype)
        vectors = vectors.expand(model.members, -1, -1).contiguous().requires_grad_()
        atomic = model.interaction_energy(species, vectors, edges.sender, edges.receiver)
        (slope,) = torch.autograd.grad(atomic.sum(), vectors, create_graph=training)

    forces = slope.new_zeros(model.members, len(species), 3)
    forces = forces.index_add(1, edges.receiver, slope).index_add(1, edges.sender, -slope)
    energy = _sum_structures(atomic, structures)
    if not training:
        shift = _sum_structures(model.shift_energy(species).unsqueeze(0), structures)
        energy = energy.detach().double() + shift
        forces = forces.double()
    return CommitteePrediction(
        energy=energy,
        forces=forces,
        stress=_stress(structures, edges, vectors, slope) if stress else None,
    )


def _sum_structures(
    atomic: Float[Tensor, "members atoms"], structures: Structures
) -> Float[Tensor, "members structures"]:
    total = atomic.new_zeros(atomic.shape[0], structures.n_structures)
    return total.index_add(1, structures.structure, atomic)


def _stress(
    structures: Structures,
    edges: Edges,
    vectors: Float[Tensor, "members edges 3"],
    slope: Float[Tensor, "members edges 3"],
) -> Float[Tensor, "members structures 3 3"]:
    virial = vectors.detach().unsqueeze(3) * slope.unsqueeze(2)
    virial = 0.5 * (virial + virial.transpose(2, 3))
    total = virial.new_zeros(virial.shape[0], structures.n_structures, 3, 3)
    total = total.index_add(1, structures.structure[edges.receiver], virial)
    volume = torch.linalg.det(structures.cell).abs()
    inverse = torch.where(volume > 0, 1.0 / volume, torch.zeros_like(volume))
    return total * inverse.to(total.dtype).view(1, -1, 1, 1)
