"""One training step's losses and the gradient of the weights."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.backends.backend import Backend
from potential.nequip.batch import CommitteePrediction
from potential.nequip.model import NequIP
from potential.training.batches import TrainingBatch
from potential.training.loss import assemble, committee_loss
from potential.training.training_config import TrainingConfig


def losses_and_gradient(
    backend: Backend,
    batch: TrainingBatch,
    weights: Float[Tensor, "members structures"],
    config: TrainingConfig,
) -> tuple[Float64[Tensor, "members"], CommitteePrediction]:
    """Losses of the members and what they predict; the gradient is added to the parameters' `grad`."""
    predictions = []

    def loss(energy: Tensor, slope: Tensor) -> Tensor:
        prediction = assemble(energy, slope, batch, stress=config.stress_weight > 0)
        predictions.append(prediction)
        return committee_loss(prediction, batch, weights, config)

    losses = backend.add_gradient(batch.graph, loss)
    return losses, predictions[0]


def clip_each_member(network: NequIP, limit: float) -> None:
    """Scale the gradient of each member to a norm of at most `limit`."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    factor = (limit / norm.clamp_min(1e-12)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
