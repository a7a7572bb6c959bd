"""The figures of one round: functions from its tables to matplotlib figures.

Energies and forces arrive in eV and eV/Angstrom and are shown in meV.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flows.record.rounds import RoundFolder
from flows.views.calibration import SETS
from flows.views.plotting import (
    BLUE,
    ELEMENT_COLOURS,
    GREEN,
    GREY,
    INK,
    RED,
    SKY,
    dots,
    panels,
    scale,
)
from potential.calibration.calibration import Calibration
from potential.calibration.pairs import Pairs
from potential.calibration.scores import reliability as reliability_bins
from potential.data.tables import FORCES_OF_ATOMS, DamagedTableError, read_table


def round_figures(here: RoundFolder) -> dict[str, Figure]:
    """The figures of one round, by name; those whose table is not (yet) there are left out."""
    drawings = {
        "force_parity": (here.test_atoms, force_parity),
        "energy_parity": (here.test_errors, energy_parity),
        "disagreement_and_error": (here.test_atoms, disagreement_and_error),
        "training_history": (here.history, training_history),
        "md_survival": (here.replicas, md_survival),
    }
    figures = {}
    for name, (path, draw) in drawings.items():
        if path.exists() and not (frame := read_table(path)).empty:
            try:
                figures[name] = draw(frame)
            except KeyError as missing:
                raise DamagedTableError(path, f"it has no column {missing}") from missing
    calibration = here.calibration()
    tests = {
        name: read_table(path, needs=FORCES_OF_ATOMS) for name, path in here.tests().items() if path.exists()
    }
    if calibration is not None and tests:
        figures["reliability"] = reliability(calibration, tests)
    return figures


def force_parity(atoms: pd.DataFrame) -> Figure:
    """Committee mean against reference, every force component of the test set, by element."""
    figure, (axes,) = panels(4.6, 4.4)
    reference = atoms[["fx_ref", "fy_ref", "fz_ref"]].to_numpy()
    predicted = atoms[["fx", "fy", "fz"]].to_numpy()
    error = 1000 * (predicted - reference)
    limit = 1.05 * np.nanmax(np.abs(np.concatenate([reference, predicted])), initial=1e-3)
    axes.plot([-limit, limit], [-limit, limit], color=GREY, linewidth=1)
    for symbol in atoms["symbol"].value_counts().index:  # the rarest element on top
        mine = (atoms["symbol"] == symbol).to_numpy()
        colour = ELEMENT_COLOURS.get(str(symbol), GREY)
        axes.plot(
            reference[mine].ravel(),
            predicted[mine].ravel(),
            ".",
            color=colour,
            label=symbol,
            **dots(len(atoms)),
        )
    text = f"MAE {np.abs(error).mean():.1f} meV/Å\nRMSE {np.sqrt((error**2).mean()):.1f} meV/Å"
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize=9)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.set(xlabel="reference force component (eV/Å)", ylabel="committee mean (eV/Å)")
    axes.legend(frameon=False, loc="lower right", markerscale=2.5, handletextpad=0.1)
    return figure


def energy_parity(frames: pd.DataFrame) -> Figure:
    """Committee mean against reference, the energy of every test frame, per atom above the lowest."""
    figure, (axes,) = panels(4.6, 4.4)
    n_atoms = frames["n_atoms"].to_numpy(float)
    reference, predicted = (
        1000 * frames[name].to_numpy(float) / n_atoms for name in ("energy_ref", "energy")
    )
    lowest, spread = reference.min(), 1000 * frames["energy_disagreement"].to_numpy(float) / n_atoms
    reference, predicted = reference - lowest, predicted - lowest
    both = np.concatenate([reference, predicted])
    room = 0.06 * max(float(np.ptp(both)), 1e-3)
    ends = [both.min() - room, both.max() + room]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    bars = np.where(np.isfinite(spread), spread, 0.0)
    axes.errorbar(reference, predicted, yerr=bars, fmt="o", color=BLUE, ecolor=SKY, markersize=4, alpha=0.8)
    axes.set(
        xlim=ends,
        ylim=ends,
        xlabel="reference energy (meV/atom, above the lowest)",
        ylabel="committee, ± its disagreement",
        aspect="equal",
    )
    return figure


def disagreement_and_error(atoms: pd.DataFrame) -> Figure:
    """Does the committee know when it is wrong? True force error against disagreement, per test atom."""
    figure, (axes,) = panels(4.6, 4.4)
    pairs = 1000 * atoms[["force_disagreement", "force_error"]]
    pairs = pairs[(pairs > 0).all(axis=1) & np.isfinite(pairs).all(axis=1)]
    axes.set(xlabel="committee force disagreement (meV/Å)", ylabel="true force error (meV/Å)")
    if pairs.empty:
        axes.text(0.5, 0.5, "no finite, non-zero values", transform=axes.transAxes, ha="center")
        return figure
    x, y = pairs["force_disagreement"], pairs["force_error"]
    low, high = 0.8 * pairs.to_numpy().min(), 1.25 * pairs.to_numpy().max()
    if len(pairs) > 3000:
        axes.hexbin(x, y, xscale="log", yscale="log", gridsize=45, mincnt=1, bins="log", cmap="Blues")
    else:
        axes.plot(x, y, ".", color=BLUE, **dots(len(pairs)))
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, label="error = disagreement")
    for which in ("x", "y"):
        scale(axes, which, [low, high])
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    spearman = x.corr(y, method="spearman")
    axes.text(0.04, 0.96, f"Spearman {spearman:.2f}", transform=axes.transAxes, va="top", fontsize=9)
    axes.legend(frameon=False, loc="lower right")
    return figure


def reliability(calibration: Calibration, tests: Mapping[str, pd.DataFrame]) -> Figure:
    """Are errors as large as expected? Root mean squared error against the expected, in bins of atoms.

    Args:
        tests: tables like `Evaluation.atoms`, by the names of `flows.views.calibration.SETS`.
    """
    figure, (axes,) = panels(4.6, 4.4)
    shown: list[float] = []
    for (name, atoms), colour, mark in zip(tests.items(), (BLUE, RED), "os", strict=False):
        pairs = Pairs.of(atoms)
        if not len(pairs):
            continue
        sigma = calibration.sigma(pairs.disagreement, pairs.symbols)
        predicted, observed = reliability_bins(pairs.errors, sigma)
        axes.plot(1000 * predicted, 1000 * observed, f"{mark}-", color=colour, label=SETS[name])
        shown += [*(1000 * predicted), *(1000 * observed)]
    low, high = 0.8 * min(shown, default=1.0), 1.25 * max(shown, default=1.0)
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, label="as expected")
    axes.set(xlabel="expected force error (meV/Å)", ylabel="true force error (meV/Å)")
    for which in ("x", "y"):
        scale(axes, which, [low, high])
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.legend(frameon=False, loc="lower right")
    return figure


def training_history(history: pd.DataFrame) -> Figure:
    """Loss, force error and learning rate against the epoch, all logarithmic."""
    figure, drawn = panels(10.0, 3.2, columns=3)
    curves = (
        ("loss", {"train_loss": ("training", BLUE, 1.0)}),
        (
            "force MAE (meV/Å)",
            {
                "train_force_mae": ("training", BLUE, 1000.0),
                "validation_force_mae": ("validation", RED, 1000.0),
            },
        ),
        ("learning rate", {"learning_rate": ("", INK, 1.0)}),
    )
    for axes, (title, columns) in zip(drawn, curves, strict=True):
        axes.set(xlabel="epoch", ylabel=title)
        shown = []
        for column, (label, colour, factor) in columns.items():
            if column in history and (points := history[["epoch", column]].dropna()).size:
                values = factor * points[column]
                axes.plot(points["epoch"], values, color=colour, linewidth=1.3, label=label or None)
                shown += values.tolist()
        scale(axes, "y", shown)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False)
    return figure


def md_survival(replicas: pd.DataFrame) -> Figure:
    """How long each replica's MD lived, and its mean temperature against the thermostat's."""
    figure, (survival, temperature) = panels(9.0, max(2.4, 0.2 * len(replicas) + 1.1), columns=2)
    table = replicas.sort_values(["bath_temperature_K", "replica"], ignore_index=True)
    y = np.arange(len(table))
    stopped = ~table["survived"].astype(bool)
    for mine, colour, label in ((~stopped, GREEN, "ran to its end"), (stopped, RED, "stopped")):
        if mine.any():
            survival.barh(y[mine], table.loc[mine, "time_fs"], color=colour, height=0.7, label=label)
    for row in table[stopped].itertuples():
        why = str(row.stop_reason).partition(":")[0]  # the numbers after it are in the table
        survival.annotate(f" {why}", (row.time_fs, row.Index), va="center", fontsize=8, color=INK)
    temperature.plot(table["bath_temperature_K"], y, "|", color=INK, markersize=11, label="thermostat")
    temperature.plot(table["mean_temperature_K"], y, "o", color=BLUE, markersize=5, label="mean of the run")
    survival.set(xlabel="MD time (fs)", ylabel="replica")
    temperature.set(xlabel="temperature (K)")
    for axes in (survival, temperature):
        axes.set_yticks(y, [str(n) for n in table["replica"]])
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, ncols=2)
    return figure
