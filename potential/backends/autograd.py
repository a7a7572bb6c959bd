"""Energies, slopes and the gradient of a loss by autograd, for a model with whatever convolution it holds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from potential.backends.backend import EnergyAndSlope, Loss
from potential.nequip.graph import EdgeTensors, Graph
from potential.nequip.model import NequIP


def energy_and_slope(model: NequIP, graph: Graph, *, create_graph: bool = False) -> EnergyAndSlope:
    """Interaction energy of each atom and dE/dd of each edge, for every member.

    Args:
        create_graph: keep the graph, so that a loss on slopes can be differentiated by the weights.
    """
    edges = EdgeTensors.of(graph, model.members)
    with torch.enable_grad():
        variables = [edges.harmonics.requires_grad_(), edges.basis.requires_grad_()]
        energy = model.interaction_energy(graph.species, edges)
        by_harmonics, by_basis = torch.autograd.grad(energy.sum(), variables, create_graph=create_graph)
    slope = graph.geometry.slope(by_harmonics, by_basis)
    return EnergyAndSlope(energy if create_graph else energy.detach(), slope)


def features(model: NequIP, graph: Graph) -> Float[Tensor, "members atoms channels"]:
    """Scalar features of the last interaction block."""
    with torch.no_grad():
        return model.features(graph.species, EdgeTensors.of(graph, model.members))


def add_gradient(model: NequIP, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
    """Losses, and their gradient in the parameters' `grad`, by double backward."""
    losses = loss(*energy_and_slope(model, graph, create_graph=True))
    losses.sum().backward()
    return losses.detach()
