"""What no training can learn, said before the work. Raises ValueError with a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from potential.data.charge_states import refuse_mixed_charges
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.nequip.model_config import ModelConfig
from potential.training.statistics import average_number_of_neighbors
from potential.training.training_config import TrainingConfig


def refuse_unteachable_frames(
    frames: Sequence[Frame], model: ModelConfig, training: TrainingConfig, *, seen_with: Sequence[Frame] = ()
) -> None:
    """Raise where the model would see one input with two energies, or no atom a neighbour.

    Args:
        seen_with: frames that the same model is held against.
    """
    if not training.mixed_charges:
        refuse_mixed_charges([*frames, *seen_with])
    average_number_of_neighbors(frames, model.r_max)


def refuse_unteachable_labels(
    train: Dataset, model: ModelConfig, training: TrainingConfig, *, seen_with: Sequence[Frame] = ()
) -> None:
    """Raise for such frames, and for labels that are none or lack what the loss asks for."""
    if len(train) == 0:
        raise ValueError("cannot train on no frames; label some first")
    if training.stress_weight > 0 and all(label.stress is None for label in train.labels):
        raise ValueError(
            f"stress_weight is {training.stress_weight:g}, but no label has a stress; write "
            "stress_weight: 0, or give labels of crystals with `stress` or `virial` (--stress names it)"
        )
    refuse_unteachable_frames(train.frames, model, training, seen_with=seen_with)
