"""The model by autograd, with each block's convolution in one pass of a kernel over the edges."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from potential.backends import autograd
from potential.backends.backend import Backend, EnergyAndSlope, Loss
from potential.kernels.fused import FusedConvolution
from potential.kernels.primitives import Primitives
from potential.nequip.convolution import Convolution
from potential.nequip.graph import Graph
from potential.nequip.irreps import PathTable
from potential.nequip.model import NequIP

# From the couplings, channels, dtype and device of a convolution.
MakeKernel = Callable[[PathTable, int, torch.dtype, torch.device], Primitives]


@final
class Fused(Backend):
    """Autograd with kernels for the convolution.

    Args:
        make_kernel: `cpp_kernel` of `potential.kernels.fused`, or `triton_kernel`.

    Raises:
        CompilerError: where the kernels cannot be built.
    """

    def __init__(self, model: NequIP, make_kernel: MakeKernel, name: str) -> None:
        self.model, self.name = model, name
        self._running = with_kernels(model, make_kernel)

    def energy_and_slope(self, graph: Graph) -> EnergyAndSlope:
        return autograd.energy_and_slope(self._running, graph)

    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        return autograd.features(self._running, graph)

    def add_gradient(self, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
        return autograd.add_gradient(self._running, graph, loss)

    def refresh(self) -> None:
        """The weights are the model's own."""


def with_kernels(model: NequIP, make_kernel: MakeKernel) -> NequIP:
    """The same model on the same parameters, with kernels in the place of its convolutions."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    channels = model.config.num_features
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Convolution):
                kernel = make_kernel(child.table, channels, model.dtype, model.device)
                setattr(module, name, FusedConvolution(kernel, channels))
    return twin
