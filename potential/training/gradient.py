"""One training step's losses and the gradient of the weights."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.backends.compiled import FrozenNequIP
from potential.backends.derivatives import energy_and_slope
from potential.backends.dual import weighted_energy_and_derivative
from potential.backends.packed import PackedWeights
from potential.kernels.build import CompilerError, warn_once
from potential.nequip.batch import CommitteePrediction
from potential.nequip.model import NequIP
from potential.training.batches import TrainingBatch
from potential.training.loss import assemble, committee_loss
from potential.training.training_config import TrainingConfig


def losses_and_gradient(
    model: NequIP,
    batch: TrainingBatch,
    weights: Float[Tensor, "members structures"],
    config: TrainingConfig,
) -> tuple[Float64[Tensor, "members"], CommitteePrediction]:
    """Losses of the members and what they predict; the gradient is added to the parameters' `grad`.

    On the CPU with `radial: spline` compiled code computes it in dual numbers (`potential.backends.dual`),
    elsewhere autograd by double backward.
    """
    if model.device.type == "cpu" and model.config.radial == "spline":
        try:
            packed = PackedWeights.of(model)
            return _compiled(packed, FrozenNequIP(packed), batch, weights, config)
        except CompilerError as error:
            warn_once(f"training by the slower double backward: {error}")
    energy, slope = energy_and_slope(model, batch.species, batch.topology, batch.geometry, training=True)
    prediction = assemble(energy, slope, batch, stress=config.stress_weight > 0)
    losses = committee_loss(prediction, batch, weights, config)
    losses.sum().backward()
    return losses.detach(), prediction


def _compiled(
    packed: PackedWeights,
    frozen: FrozenNequIP,
    batch: TrainingBatch,
    weights: Tensor,
    config: TrainingConfig,
) -> tuple[Tensor, CommitteePrediction]:
    edges = batch.species, batch.topology, batch.geometry
    with torch.no_grad():
        energy, slope = frozen.energy_and_slope(*edges)
    energy.requires_grad_(), slope.requires_grad_()
    prediction = assemble(energy, slope, batch, stress=config.stress_weight > 0)
    losses = committee_loss(prediction, batch, weights, config)
    by_energy, by_slope = torch.autograd.grad(losses.sum(), (energy, slope))
    weighted_energy_and_derivative(packed, *edges, by_energy, by_slope).backward()
    return losses.detach(), prediction
