"""Metrics of a committee on a test set, each declared once; summaries, MLflow and reports read the tables.

A metric is a statistic of a test set's frames: from an `Evaluation`, whose tables have a row for each test
atom and frame, to a function of draws of its frames. So one formula gives the number and, by the bootstrap,
its interval. To add one, add it to `METRICS`, with a test of its value.

    symbol    here                 unit
    F         force_components     eV/Å; absolute errors of the force components
    e         _energy_errors       eV/atom; energy error of a frame over its atoms
    n         n_atoms              of a frame
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from potential.bootstrap import Estimate, bootstrapped

if TYPE_CHECKING:  # it brings torch, for which status and report shall not wait
    from potential.evaluation import Evaluation

TAIL = 0.01
"""Share of the atoms that count as the worst."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Of the row numbers of draws of frames, some of them several times: from [draws, frames] to [draws]."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number that an evaluation gives.

    Attributes:
        name: its key in files and, after the number's unit is appended, in MLflow.
        title: what people read.
        unit: of the number as it is shown.
        factor: shown = factor x number in eV, eV/Angstrom.
        over: the statistic of an evaluation's frames; NaN where it is not defined.
    """

    name: str
    title: str
    unit: str
    factor: float
    over: Callable[[Evaluation], Statistic]

    def of(self, evaluation: Evaluation) -> float | None:
        """The number; None where it is not defined."""
        value = float(self.over(evaluation)(np.arange(evaluation.n_frames)[None])[0])
        return None if np.isnan(value) else value

    def estimate(self, evaluation: Evaluation) -> Estimate:
        """The number with its 95 % interval over the frames."""
        return bootstrapped(evaluation.n_frames, self.over(evaluation))


def force_mae(evaluation: Evaluation) -> Statistic:
    """Mean absolute error of the force components."""
    return _mean_by_atoms(evaluation, np.abs(_components(evaluation)).mean(1))


def force_rmse(evaluation: Evaluation) -> Statistic:
    """Root of the mean squared error of the force components."""
    squared = _mean_by_atoms(evaluation, (_components(evaluation) ** 2).mean(1))
    return lambda rows: np.asarray(np.sqrt(squared(rows)))


def energy_mae(evaluation: Evaluation) -> Statistic:
    """Mean absolute error of the energies over their atoms."""
    error = np.abs(_energy_errors(evaluation))
    return lambda rows: np.asarray(error[rows].mean(-1))


def energy_rmse(evaluation: Evaluation) -> Statistic:
    """Root of the mean squared error of the energies over their atoms."""
    error = _energy_errors(evaluation) ** 2
    return lambda rows: np.asarray(np.sqrt(error[rows].mean(-1)))


def spearman(evaluation: Evaluation) -> Statistic:
    """Rank correlation of disagreement and force error; of draws, with the ranks in the whole set."""
    disagreement = evaluation.atoms["force_disagreement"].to_numpy(float)
    error = evaluation.atoms["force_error"].to_numpy(float)
    if not np.isfinite(disagreement).all():
        return lambda rows: np.full(len(rows), np.nan)
    from scipy.stats import rankdata  # takes a second, and most who look at metrics compute none

    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (disagreement, error))
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    per_frame = np.add.reduceat(moments, _first_atoms(evaluation))

    def correlation(rows: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = np.moveaxis(per_frame[rows].sum(1), -1, 0)
        spread = (sxx - sx**2 / n) * (syy - sy**2 / n)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(spread > 0, (sxy - sx * sy / n) / np.sqrt(spread), np.nan))

    return correlation


def energy_mae_without_offset(evaluation: Evaluation) -> Statistic:
    """Mean absolute error of energies, eV/atom, after their mean error is taken out.

    Molecular dynamics and relative energies do not see a constant offset.
    """
    error = _energy_errors(evaluation)

    def spread(rows: np.ndarray) -> np.ndarray:
        drawn = error[rows]
        return np.asarray(np.abs(drawn - drawn.mean(-1, keepdims=True)).mean(-1))

    return spread


def worst_force_error(evaluation: Evaluation) -> Statistic:
    """Mean force error, eV/Angstrom, of the worst `TAIL` of the test atoms (at least one)."""
    error = evaluation.atoms["force_error"].to_numpy(float)
    worst_first = np.argsort(-error, kind="stable")
    error, owner = error[worst_first], _owners(evaluation)[worst_first]
    n_atoms = evaluation.frames["n_atoms"].to_numpy(int)
    most = max(50, round(10 * TAIL * len(error)))  # hardly a draw's tail reaches farther

    def tail(rows: np.ndarray) -> np.ndarray:
        wanted = np.maximum(1, np.round(TAIL * n_atoms[rows].sum(-1)))
        drawn = np.stack([np.bincount(row, minlength=len(n_atoms)) for row in rows])
        times = drawn[:, owner[:most]]
        if (times.sum(1) < wanted).any():
            times = drawn[:, owner]
        taken = np.clip(wanted[:, None] - (times.cumsum(1) - times), 0, times)
        return np.asarray((taken * error[: times.shape[1]]).sum(1) / wanted)

    return tail


FORCE_MAE = Metric(name="force_mae", title="force MAE", unit="meV/Å", factor=1000.0, over=force_mae)
FORCE_RMSE = Metric(name="force_rmse", title="force RMSE", unit="meV/Å", factor=1000.0, over=force_rmse)
ENERGY_MAE = Metric(name="energy_mae", title="energy MAE", unit="meV/atom", factor=1000.0, over=energy_mae)
ENERGY_RMSE = Metric(
    name="energy_rmse", title="energy RMSE", unit="meV/atom", factor=1000.0, over=energy_rmse
)
SPEARMAN = Metric(
    name="spearman", title="Spearman of disagreement and error", unit="", factor=1.0, over=spearman
)
BASIC = (FORCE_MAE, FORCE_RMSE, ENERGY_MAE, ENERGY_RMSE, SPEARMAN)
"""What every evaluation has under these names."""

METRICS = (
    Metric(
        name="energy_mae_without_offset",
        title="energy MAE without the mean error",
        unit="meV/atom",
        factor=1000.0,
        over=energy_mae_without_offset,
    ),
    Metric(
        name="worst_force_error",
        title=f"force error of the worst {TAIL:.0%} of the atoms",
        unit="meV/Å",
        factor=1000.0,
        over=worst_force_error,
    ),
)
"""What is told besides."""


def intervals(evaluation: Evaluation) -> dict[str, tuple[float, float]]:
    """The 95 % interval of every metric over the test frames, by name, where there is one."""
    found = {metric.name: metric.estimate(evaluation) for metric in (*BASIC, *METRICS)}
    return {name: (e.low, e.high) for name, e in found.items() if not np.isnan([e.low, e.high]).any()}


def _components(evaluation: Evaluation) -> np.ndarray:
    """Errors of the force components, [atoms, 3]."""
    atoms = evaluation.atoms
    return np.asarray(
        atoms[["fx", "fy", "fz"]].to_numpy(float) - atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy(float)
    )


def _energy_errors(evaluation: Evaluation) -> np.ndarray:
    frames = evaluation.frames
    return np.asarray((frames["energy"] - frames["energy_ref"]) / frames["n_atoms"], dtype=float)


def _mean_by_atoms(evaluation: Evaluation, of_atoms: np.ndarray) -> Statistic:
    """The mean over the atoms of the frames that are drawn."""
    sums = np.add.reduceat(of_atoms, _first_atoms(evaluation))
    n_atoms = evaluation.frames["n_atoms"].to_numpy(float)
    return lambda rows: np.asarray(sums[rows].sum(-1) / n_atoms[rows].sum(-1))


def _first_atoms(evaluation: Evaluation) -> np.ndarray:
    """The row of each frame's first atom."""
    n_atoms = evaluation.frames["n_atoms"].to_numpy(int)
    return np.concatenate([[0], n_atoms.cumsum()[:-1]])


def _owners(evaluation: Evaluation) -> np.ndarray:
    """The frame of each atom."""
    n_atoms = evaluation.frames["n_atoms"].to_numpy(int)
    return np.repeat(np.arange(len(n_atoms)), n_atoms)
