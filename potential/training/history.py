"""What an epoch of training reached, and how the progress bar says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of the training history; errors in eV/Angstrom and eV/atom.

    `fraction` says how much of the training is done, by the limit that is nearest.
    """

    epoch: int
    fraction: float
    step: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_force_mae: float
    validation_force_mae: float | None = None
    validation_energy_mae_per_atom: float | None = None


BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"


def postfix(record: EpochRecord) -> str:
    """Behind the bar: where training stands."""
    validation = record.validation_force_mae
    return (
        f"epoch {record.epoch}, loss {record.train_loss:.2e}, "
        f"force MAE {1000 * record.train_force_mae:.1f} meV/Å"
        + (f" (validation {1000 * validation:.1f})" if validation is not None else "")
        + f", rate {record.learning_rate:.1e}, {record.step / max(record.seconds, 1e-9):.1f} steps/s"
    )
