"""The loss of a committee, and errors while training."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from potential.backends.backend import Backend
from potential.backends.derivatives import forces_from, stress_from, sum_structures
from potential.nequip.batch import CommitteePrediction
from potential.training.batches import Loader, TrainingBatch
from potential.training.training_config import TrainingConfig


def committee_loss(
    prediction: CommitteePrediction,
    batch: TrainingBatch,
    weights: Float[Tensor, "members structures"],
    config: TrainingConfig,
) -> Float64[Tensor, "members"]:
    """Weighted mean square errors of each member.

    L_g = sum_s w_gs [ a_E (dE_s / N_s)^2 + a_F |dF_s|^2 / (3 N_s) + a_S |dS_s|^2 / 9 ] / n_structures

    With a_E = a_F = 1 this is nequip's default, `PerAtomMSE` of energies plus `MSE` of forces.
    """
    n_atoms = batch.structures.n_atoms
    energy = ((prediction.energy.double() - batch.energy) / n_atoms) ** 2
    squares = (prediction.forces - batch.forces).square().sum(-1)
    force = squares.new_zeros(energy.shape).index_add(1, batch.structures.structure, squares)
    per_structure = config.energy_weight * energy + config.force_weight * force / (3 * n_atoms)
    if prediction.stress is not None:
        known = ~torch.isnan(batch.stress)
        error = torch.where(known, prediction.stress - batch.stress.nan_to_num(), 0.0)
        per_structure = per_structure + config.stress_weight * error.square().mean((2, 3))
    return (weights * per_structure).mean(1)


def assemble(
    energy: Float[Tensor, "members atoms"],
    slope: Float[Tensor, "members edges 3"],
    batch: TrainingBatch,
    *,
    stress: bool,
) -> CommitteePrediction:
    """Energies without the constant shifts (as the batch's references), forces and stress."""
    return CommitteePrediction(
        energy=sum_structures(energy, batch.structures),
        forces=forces_from(slope, batch.graph.topology),
        stress=stress_from(batch.structures, batch.graph.topology, batch.vectors, slope) if stress else None,
    )


def bootstrap_weights(
    members: int, n_frames: int, config: TrainingConfig, *, seed: int
) -> Float[Tensor, "members frames"]:
    """Weight of each frame in each member's loss, of mean one.

    The Bayesian bootstrap (Rubin, Ann. Stat. 9, 130 (1981)): Dirichlet(1, ..., 1) weights. A single
    member, or `bootstrap: none`, weighs all frames alike.
    """
    if members == 1 or config.bootstrap == "none":
        return torch.ones(members, n_frames)
    generator = torch.Generator().manual_seed(seed)
    weights = -torch.log1p(-torch.rand(members, n_frames, generator=generator))
    return weights / weights.mean(1, keepdim=True)


class Errors(NamedTuple):
    """Mean absolute errors of the committee's mean: eV/Angstrom and eV/atom."""

    force_mae: float
    energy_mae_per_atom: float


def errors(
    backend: Backend, loader: Loader, batch_size: int, gather: Callable[[Tensor], Tensor] = lambda own: own
) -> Errors:
    """Errors of the committee's mean on all frames of `loader`, with the model's present weights.

    Args:
        gather: makes what the backend's members predict what the whole committee predicts.
    """
    backend.refresh()
    n_components = 0
    force_sum = energy_sum = torch.zeros((), dtype=torch.float64, device=backend.model.device)
    for batch in loader.ordered(batch_size):
        prediction = assemble(*backend.energy_and_slope(batch.graph), batch, stress=False)
        energy = gather(prediction.energy).mean(0).to(batch.energy.device)
        forces = gather(prediction.forces).mean(0).to(batch.forces.device)
        energy_sum = energy_sum + ((energy - batch.energy).abs() / batch.structures.n_atoms).sum()
        force_sum = force_sum + (forces - batch.forces).abs().sum()
        n_components += batch.forces.numel()
    return Errors(float(force_sum) / n_components, float(energy_sum) / loader.size)
