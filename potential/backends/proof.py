"""A backend proves itself: on a few atoms it must say what plain torch says.

Kernels hold the mathematics of the model a second time. Where a layer of the model changes and they do
not, nothing else would tell: they would go on with the old mathematics.
"""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from potential.backends.backend import Backend, EnergyAndSlope, Loss
from potential.backends.reference import Reference
from potential.nequip.graph import Graph
from potential.nequip.model import NequIP
from potential.nequip.neighbors import Edges
from potential.nequip.precision import float32_products

# Of the largest number of its kind: far above rounding, far below a difference in the mathematics.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


class DisagreementError(RuntimeError):
    """A backend differs from plain torch; the message says in what and by how much."""


def prove(backend: Backend, *, training: bool) -> None:
    """Compare energies, slopes and features with the reference; for training the weights' gradient too.

    It is done with the model's own weights, before anything else: a few milliseconds.

    Raises:
        DisagreementError: where they differ by more than rounding.
    """
    model = backend.model
    reference, graph = Reference(model), few_atoms(model)
    with float32_products("ieee"):
        expected = reference.energy_and_slope(graph)
        found = backend.energy_and_slope(graph)
        _compare(backend, "energies", found.energy, expected.energy)
        _compare(backend, "slopes of the energy by the edges", found.slope, expected.slope)
        _compare(backend, "features", backend.features(graph), reference.features(graph))
        if training:
            loss = _loss(expected)
            pairs = zip(_gradient(backend, graph, loss), _gradient(reference, graph, loss), strict=True)
            for (name, _), (gradient, exact) in zip(model.named_parameters(), pairs, strict=True):
                _compare(backend, f"gradient of {name}", gradient, exact)


def few_atoms(model: NequIP) -> Graph:
    """A small graph: every species on a distorted grid within the cutoff, and an atom by itself."""
    generator = torch.Generator().manual_seed(0)
    known, r_max = len(model.numbers), model.config.r_max
    n = max(5, known)
    side = next(k for k in range(2, n) if k**3 >= n)
    corners = torch.tensor(list(product(range(side), repeat=3)), dtype=torch.float64)[:n]
    noise = torch.rand(n, 3, dtype=torch.float64, generator=generator) - 0.5
    positions = 0.35 * r_max * (corners + 0.4 * noise)
    between = positions.unsqueeze(0) - positions.unsqueeze(1)
    distance = between.norm(dim=2)
    receiver, sender = torch.nonzero((distance > 0) & (distance < 0.99 * r_max), as_tuple=True)
    vectors, species = between[receiver, sender], torch.arange(n + 1) % known
    sender, receiver, vectors, species = (t.to(model.device) for t in (sender, receiver, vectors, species))
    none = torch.zeros_like(vectors)
    edges = Edges(sender=sender, receiver=receiver, image=none, shift=none)
    return model.graph(species, edges, vectors)


def _loss(expected: EnergyAndSlope) -> Loss:
    """Mean squares of energies and slopes, in their own sizes so that neither hides the other."""
    energy_size, slope_size = (x.square().mean().clamp_min(1e-30) for x in expected)

    def loss(energy: Tensor, slope: Tensor) -> Float[Tensor, "members"]:
        return energy.square().mean(1) / energy_size + slope.square().mean((1, 2)) / slope_size

    return loss


def _gradient(backend: Backend, graph: Graph, loss: Loss) -> list[Tensor]:
    """Of every parameter; whatever their `grad` holds stays."""
    parameters = list(backend.model.parameters())
    held = [parameter.grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.grad = None
        backend.add_gradient(graph, loss)
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    finally:
        for parameter, gradient in zip(parameters, held, strict=True):
            parameter.grad = gradient


def _compare(backend: Backend, what: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        shapes = f"{tuple(found.shape)} instead of {tuple(expected.shape)}"
        raise DisagreementError(f"{backend.name}: {what} of shape {shapes}")
    both_nan = torch.isnan(found) & torch.isnan(expected)
    difference = torch.where(both_nan, 0.0, (found - expected).abs()).max()
    largest = expected.nan_to_num().abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
    relative, tolerance = float(difference / largest), TOLERANCE[expected.dtype]
    if not relative <= tolerance:
        raise DisagreementError(
            f"{backend.name} differ from plain torch: {what} by {relative:.1e} of the largest, "
            f"where rounding allows {tolerance:.0e}"
        )
