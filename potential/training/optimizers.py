"""Which optimiser moves which weights."""

from __future__ import annotations

import torch

from potential.nequip.model import NequIP
from potential.training.muon import Muon
from potential.training.training_config import TrainingConfig


def optimizers_of(network: NequIP, config: TrainingConfig) -> dict[str, torch.optim.Optimizer]:
    """By name, with which a checkpoint keeps their states.

    Muon moves the matrices of the interaction blocks. The embedding's rows belong to one element each, and
    the readout has one column: there is nothing to make orthogonal, and Adam moves them.
    """
    weights = dict(network.named_parameters())
    inner = [name for name in weights if name.startswith("blocks.")] if config.optimizer == "muon" else []
    outer = [weight for name, weight in weights.items() if name not in inner]
    found: dict[str, torch.optim.Optimizer] = {
        "adam": torch.optim.Adam(outer, lr=config.learning_rate, fused=True)
    }
    if inner:
        found["muon"] = Muon([weights[name] for name in inner], lr=config.learning_rate)
    return found
