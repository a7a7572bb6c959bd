"""A study's table, statements and figure, written anew whenever a curve is finished."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from exploration.learning_curves import (
    labels_saved,
    relative_area,
    slope,
    statement,
)
from flows.settings.study_config import CONTROL, StudyConfig
from flows.study.curves import folder_of
from flows.views.summary import markdown_table
from potential.bootstrap import Estimate
from potential.data.atomic_write import write_atomically

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#24292F")


@dataclass(frozen=True)
class Quantity:
    """What is shown of the points, in thousandths of its unit."""

    title: str
    unit: str
    digits: int


QUANTITIES = {
    "force_mae": Quantity("force MAE", "meV/Å", 1),
    "worst_force_error": Quantity("force error of the worst 1% of the atoms", "meV/Å", 1),
    "energy_mae": Quantity("energy MAE", "meV/atom", 2),
}


def write_study(config: StudyConfig, points: pd.DataFrame) -> None:
    """points.csv, study.md and learning_curves.svg in the study's folder; nothing before the first point."""
    if points.empty:
        return
    folder = folder_of(config)
    write_atomically(folder / "points.csv", points.to_csv(index=False))
    parts = [f"# {config.name}", _what(config, points)]
    for test in config.tests:
        for name, quantity in QUANTITIES.items():
            column = f"{test}_{name}"
            rows = [
                row
                for model in config.models
                for row in table(config, points, model, column, quantity.digits)
            ]
            parts += [f"## {quantity.title}, {test} ({quantity.unit})", markdown_table(rows)]
            said = [line for model in config.models for line in statements(config, points, model, column)]
            parts += ["\n".join(f"- {line}" for line in said)] if said else []
    write_atomically(folder / "study.md", "\n\n".join(parts) + "\n")
    learning_curves(config, points).savefig(folder / "learning_curves.svg")


def _what(config: StudyConfig, points: pd.DataFrame) -> str:
    done = points.groupby(["model", "strategy", "seed"]).size()
    whole = int((done == len(config.sizes)).sum())
    wanted = len(config.models) * len(config.strategies) * config.seeds
    return (
        f"{whole} of {wanted} curves are finished, only these count. Intervals of 95 % by bootstrap over the "
        "seeds, which share their first frames between strategies."
    )


def curve_errors(
    config: StudyConfig, points: pd.DataFrame, model: str, strategy: str, column: str
) -> dict[int, np.ndarray]:
    """Thousandths of the unit (meV/Angstrom, meV/atom) at all sizes by seed, of the finished curves."""
    mine = points[(points["model"] == model) & (points["strategy"] == strategy)]
    found = {int(seed): rows.sort_values("size")[column].to_numpy() for seed, rows in mine.groupby("seed")}
    return {seed: 1000 * errors for seed, errors in found.items() if len(errors) == len(config.sizes)}


def table(
    config: StudyConfig, points: pd.DataFrame, model: str, column: str, digits: int = 1
) -> list[dict[str, str]]:
    """One row per strategy: mean errors at each size, the slope, and the error relative to the control's."""
    sizes, rows = np.array(config.sizes, dtype=np.float64), []
    control = curve_errors(config, points, model, CONTROL, column) if CONTROL in config.strategies else {}
    for strategy in config.strategies:
        curves = curve_errors(config, points, model, strategy, column)
        if not curves:
            continue
        errors = np.stack([curves[seed] for seed in sorted(curves)])
        at = {f"{size}": f"{errors[:, i].mean():.{digits}f}" for i, size in enumerate(config.sizes)}
        both = sorted(set(curves) & set(control)) if strategy != CONTROL else []
        relative = None
        if both and len(sizes) > 1:
            relative = relative_area(sizes, _stack(curves, both), _stack(control, both))
        rows.append(
            {
                "model": model,
                "strategy": strategy,
                "seeds": str(len(curves)),
                **at,
                "b": _shown(slope(sizes, errors), "{:.2f}") if len(sizes) > 1 else "–",
                "error against random": "–" if relative is None else _shown(relative, "{:+.1%}"),
            }
        )
    return rows


def statements(config: StudyConfig, points: pd.DataFrame, model: str, column: str) -> list[str]:
    """Of every strategy against the control: labels saved to reach each target."""
    if CONTROL not in config.strategies or not column.endswith("force_mae") or len(config.sizes) < 2:
        return []
    sizes = np.array(config.sizes, dtype=np.float64)
    control, said = curve_errors(config, points, model, CONTROL, column), []
    for strategy in config.strategies:
        curves = curve_errors(config, points, model, strategy, column)
        both = sorted(set(curves) & set(control))
        if strategy == CONTROL or not both:
            continue
        for target in config.targets_meV_per_A:
            saved = labels_saved(sizes, _stack(curves, both), _stack(control, both), target)
            said.append(f"{model}, {strategy}: {statement(saved, f'{target:g} meV/Å', than=CONTROL)}")
    return said


def learning_curves(config: StudyConfig, points: pd.DataFrame) -> Figure:
    """Errors against labels: a column for each test, a row for each quantity.

    Points are means over the seeds, bars reach from the best to the worst; curves are a little apart.
    """
    tests = list(config.tests)
    figure = Figure(figsize=(5.2 * len(tests), 3.6 * len(QUANTITIES)), dpi=150, layout="constrained")
    panels = figure.subplots(len(QUANTITIES), len(tests), squeeze=False, sharex=True)
    for (name, quantity), row in zip(QUANTITIES.items(), panels, strict=True):
        for test, axes in zip(tests, row, strict=True):
            _draw_curves(axes, config, points, f"{test}_{name}")
            axes.set_title(f"{quantity.title}, {test} test", fontsize=9)
        row[0].set_ylabel(quantity.unit)
    for axes in panels[-1]:
        axes.set_xlabel("labels")
    panels[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _draw_curves(axes: Axes, config: StudyConfig, points: pd.DataFrame, column: str) -> None:
    kinds = [(model, strategy) for model in config.models for strategy in config.strategies]
    for k, (model, strategy) in enumerate(kinds):
        curves = curve_errors(config, points, model, strategy, column)
        if not curves:
            continue
        errors = np.stack([curves[seed] for seed in sorted(curves)])
        mean = errors.mean(axis=0)
        axes.errorbar(
            np.array(config.sizes) * 1.012 ** (k - (len(kinds) - 1) / 2),
            mean,
            yerr=np.stack([mean - errors.min(axis=0), errors.max(axis=0) - mean]),
            fmt=f"o{('-', '--', ':', '-.')[(k // len(COLOURS)) % 4]}",
            color=COLOURS[k % len(COLOURS)],
            label=_name(config, model, strategy),
            markersize=4,
            linewidth=1.2,
            elinewidth=0.7,
        )
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(config.sizes, [str(size) for size in config.sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color="#E6E8EB", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def _name(config: StudyConfig, model: str, strategy: str) -> str:
    """As short as is clear."""
    if len(config.models) == 1:
        return strategy
    return model if len(config.strategies) == 1 else f"{model}, {strategy}"


def _stack(curves: dict[int, np.ndarray], seeds: list[int]) -> np.ndarray:
    return np.stack([curves[seed] for seed in seeds])


def _shown(estimate: Estimate, form: str) -> str:
    value, low, high = (form.format(x) for x in (estimate.value, estimate.low, estimate.high))
    return value if np.isnan(estimate.low) else f"{value} ({low} to {high})"
