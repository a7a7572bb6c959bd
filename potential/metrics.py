"""Metrics of a committee on a test set, each declared once; summaries, MLflow and reports read the table.

A metric is a function of an `Evaluation`, whose tables have a row for each test atom and frame. To add
one, add it to `METRICS`, with a test of its value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it brings torch, for which status and report shall not wait
    from potential.evaluation import Evaluation

TAIL = 0.01
"""Share of the atoms that count as the worst."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number that an evaluation gives.

    Attributes:
        name: its key in files and, after the number's unit is appended, in MLflow.
        title: what people read.
        unit: of the number as it is shown.
        factor: shown = factor x number in eV, eV/Angstrom.
        of: the number; None where it is not defined.
    """

    name: str
    title: str
    unit: str
    factor: float
    of: Callable[[Evaluation], float | None]


def energy_mae_without_offset(evaluation: Evaluation) -> float:
    """Mean absolute error of energies, eV/atom, after their mean error is taken out.

    Molecular dynamics and relative energies do not see a constant offset.
    """
    frames = evaluation.frames
    error = (frames["energy"] - frames["energy_ref"]) / frames["n_atoms"]
    return float(np.abs(error - error.mean()).mean())


def worst_force_error(evaluation: Evaluation) -> float:
    """Mean force error, eV/Angstrom, of the worst `TAIL` of the test atoms (at least one)."""
    errors = np.sort(evaluation.atoms["force_error"].to_numpy())
    return float(errors[-max(1, round(TAIL * len(errors))) :].mean())


METRICS = (
    Metric(
        name="energy_mae_without_offset",
        title="energy MAE without the mean error",
        unit="meV/atom",
        factor=1000.0,
        of=energy_mae_without_offset,
    ),
    Metric(
        name="worst_force_error",
        title=f"force error of the worst {TAIL:.0%} of the atoms",
        unit="meV/Å",
        factor=1000.0,
        of=worst_force_error,
    ),
)
