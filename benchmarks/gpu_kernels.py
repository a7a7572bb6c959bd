"""The Triton kernels, and the model that runs on them, against plain torch in float64.

Differences are the largest of their kind over the largest number of their kind. F, B and A are the
primitives of `potential/kernels/fused.py`; "double" is the derivative of their derivatives, as training on
forces needs it. Plain torch in float32 stands beside, as a measure of what rounding alone does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from potential.backends.backend import Backend
from potential.backends.fused import Fused
from potential.backends.proof import TOLERANCE, few_atoms
from potential.backends.reference import Reference
from potential.kernels.fused import FusedConvolution
from potential.kernels.triton_kernel import triton_kernel
from potential.nequip.convolution import Convolution
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, dimension, feature_irreps
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.nequip.precision import float32_products

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def kernels(
    device: torch.device, channels: int, edges: int, l_max: int, parity: bool, dtype: torch.dtype
) -> Iterator[dict[str, Any]]:
    """Rows of one architecture and dtype: of the kernels, and of plain torch if it rounds too."""
    irreps = feature_irreps(l_max, parity)
    table, config = PathTable.of(irreps, l_max, irreps), _config(l_max, parity, channels)
    start = time.perf_counter()
    fused = FusedConvolution(triton_kernel(table, channels, dtype, device), channels)
    backend = Fused(_model(config, dtype, device), triton_kernel, "Triton")
    compiled_s = time.perf_counter() - start
    plain = Convolution(table).to(device, dtype), Reference(_model(config, dtype, device))
    with float32_products("ieee"):
        zero = torch.zeros((), dtype=torch.float64, device=device)
        exact = of_convolution(Convolution(table).to(device, zero.dtype), table, channels, edges, zero)
        exact |= of_model(Reference(_model(config, zero.dtype, device)))
        ways: dict[str, tuple[torch.nn.Module, Backend]] = {"Triton": (fused, backend)}
        if dtype != torch.float64:
            ways["plain torch"] = plain
        for way, (convolution, whole) in ways.items():
            found = {**of_convolution(convolution, table, channels, edges, zero.to(dtype)), **of_model(whole)}
            difference = {name: _largest(found[name], exact[name]) for name in exact}
            name = f"l_max {l_max}, {'both parities' if parity else 'natural parity'}"
            row: dict[str, Any] = {"case": f"{name}, {str(dtype).removeprefix('torch.')}", "way": way}
            row |= {"agrees": all(x <= TOLERANCE[dtype] for x in difference.values())} | difference
            yield row | ({"compile_s": compiled_s} if way == "Triton" else {})


def of_convolution(
    convolution: torch.nn.Module, table: PathTable, channels: int, edges: int, like: Tensor
) -> dict[str, list[Tensor]]:
    """F, B, A, and the derivatives of a random sum of B and A by everything that went in."""
    atoms, members, device = 12, 2, like.device
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(like)

    receiver = torch.randint(atoms - 1, (edges,), generator=generator).sort().values.to(device)
    sender = torch.randint(atoms - 1, (edges,), generator=generator).to(device)
    topology = Topology.of(sender, receiver, atoms)  # the last atom has no neighbours
    h = random(members, atoms, dimension(table.irreps_in), channels).requires_grad_()
    y = random(1, edges, (table.l_max + 1) ** 2).expand(members, -1, -1).requires_grad_()
    w = random(members, edges, len(table.paths), channels).requires_grad_()
    g = random(members, atoms, table.rows, channels).requires_grad_()
    out = convolution(h, y, w, topology)
    by_h, by_y, by_w = torch.autograd.grad(out, (h, y, w), g, create_graph=True)
    total = torch.stack([(d * random(*d.shape)).sum() for d in (by_h, by_y, by_w)]).sum()
    double = torch.autograd.grad(total, (h, y, w, g))
    named = {"F": [out], "B": [by_h], "A": [by_y, by_w], "double": list(double)}
    return {name: [x.detach() for x in tensors] for name, tensors in named.items()}


def of_model(backend: Backend) -> dict[str, list[Tensor]]:
    """Energies, slopes, and the gradient of the weights of a loss on both."""
    graph, parameters = few_atoms(backend.model), list(backend.model.parameters())
    energy, slope = backend.energy_and_slope(graph)

    def loss(energy: Tensor, slope: Tensor) -> Tensor:
        return energy.square().mean(1) + slope.square().mean((1, 2))

    backend.add_gradient(graph, loss)
    return {
        "energy": [energy],
        "slope": [slope],
        "gradient": [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters],
    }


def _largest(found: list[Tensor], exact: list[Tensor]) -> float:
    """NaN where there is one."""
    pairs = zip(found, exact, strict=True)
    relative = [(a - b).abs().max() / b.abs().max().clamp_min(1e-30) for a, b in pairs]
    return float(torch.stack(relative).max())


def _config(l_max: int, parity: bool, channels: int) -> ModelConfig:
    return ModelConfig(num_layers=3, l_max=l_max, parity=parity, num_features=channels, committee_size=2)


def _model(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> NequIP:
    return NequIP(config, [1, 6, 8], dtype=dtype).to(device)
