"""The model as it is written, in torch operations: slow, on every device, and what the others are held to."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor

from potential.backends import autograd
from potential.backends.backend import Backend, EnergyAndSlope, Loss
from potential.nequip.graph import Graph
from potential.nequip.model import NequIP


@final
class Reference(Backend):
    """Plain torch."""

    name = "plain torch"

    def __init__(self, model: NequIP) -> None:
        self.model = model

    def energy_and_slope(self, graph: Graph) -> EnergyAndSlope:
        return autograd.energy_and_slope(self.model, graph)

    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        return autograd.features(self.model, graph)

    def add_gradient(self, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
        return autograd.add_gradient(self.model, graph, loss)

    def refresh(self) -> None:
        """Nothing is kept."""
