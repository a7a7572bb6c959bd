"""What every way of running a model can do.

| file           | how                                                            | device    |
|----------------|----------------------------------------------------------------|-----------|
| `reference.py` | torch operations and autograd                                  | any       |
| `fused.py`     | the same, with the convolution in one kernel (C++ or Triton)   | CPU, CUDA |
| `compiled.py`  | each interaction block in one compiled call, no autograd graph | CPU       |
| `replayed.py`  | one of the first two, recorded once as a CUDA graph            | CUDA      |

`choose.py` chooses among them, and `proof.py` compares what it chose with the reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from potential.nequip.graph import Graph
from potential.nequip.model import NequIP


class EnergyAndSlope(NamedTuple):
    """What a model says of a graph, for every member.

    Attributes:
        energy: of each atom, without the constant shifts, eV.
        slope: dE/dd of each edge's vector d from receiver to sender, eV/Angstrom.
    """

    energy: Float[Tensor, "members atoms"]
    slope: Float[Tensor, "members edges 3"]


# Losses of the members from energies and slopes; torch operations, differentiated by both.
Loss = Callable[[Tensor, Tensor], Float[Tensor, "members"]]


class Backend(ABC):
    """Runs a committee.

    Attributes:
        name: for logs and model cards.
        model: whose weights it runs with; it must not move to another device afterwards.
    """

    name: str
    model: NequIP

    @abstractmethod
    def energy_and_slope(self, graph: Graph) -> EnergyAndSlope:
        """Energies and slopes, without a graph of autograd."""

    @abstractmethod
    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        """Scalar features of the last interaction block; the readout is linear in them."""

    @abstractmethod
    def add_gradient(self, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
        """The members' losses; their gradient is added to the parameters' `grad`."""

    @abstractmethod
    def refresh(self) -> None:
        """Take over the model's weights as they are now.

        `energy_and_slope` and `features` may run with those of the last call (or of construction);
        `add_gradient` always takes the present ones.
        """
