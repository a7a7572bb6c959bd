"""The figures over all rounds of a campaign: functions from results to matplotlib figures.

Energies and forces arrive in eV and eV/Angstrom and are shown in meV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.views.plotting import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    panels,
    round_axis,
    scale,
)
from flows.views.summary import three_digits


def campaign_figures(campaign: CampaignFolder) -> dict[str, Figure]:
    """The figures over all rounds, by name; empty before the first round is finished."""
    main, *beside = campaign.arms
    results = main.results()
    if not results:
        return {}
    others = {arm.name: found for arm in beside if (found := arm.results())}
    figures = {"learning_curve": learning_curve(results, others)}
    if any(r.ledger is not None for r in results):
        figures["ledger"] = ledger(results)
    figures["cost"] = cost(results)
    return figures


def learning_curve(
    results: Sequence[RoundResult], others: Mapping[str, Sequence[RoundResult]] | None = None
) -> Figure:
    """Errors on the frozen test set against the number of labels: forces left, energies right.

    Bars are 95 % intervals of the MAE over the test frames.

    Args:
        others: results of the arms beside it, by name; their MAE is drawn.
    """
    arms = others or {}
    figure, (forces, energies) = panels(9.0, 3.6, columns=2)
    labels = [float(r.n_labels) for r in results]
    for axes, quantity, unit in ((forces, "force", "meV/Å"), (energies, "energy", "meV/atom")):
        mae = [1000 * getattr(r.test, f"{quantity}_mae") for r in results]
        rmse = [1000 * getattr(r.test, f"{quantity}_rmse") for r in results]
        axes.plot(labels, rmse, "s--", color=ORANGE, label="RMSE")
        axes.plot(labels, mae, "o-", color=BLUE, label="MAE")
        shown = [*mae, *rmse]
        for result in results:
            if (bounds := result.evaluation.intervals.get(f"{quantity}_mae")) is not None:
                ends = [1000 * bound for bound in bounds]
                axes.vlines(result.n_labels, ends[0], ends[1], color=BLUE, linewidth=4, alpha=0.3)
                shown += ends
        if broad := [(r.n_labels, r.broad) for r in results if r.broad is not None]:
            far = [1000 * getattr(found.test, f"{quantity}_mae") for _, found in broad]
            axes.plot([n for n, _ in broad], far, "D:", color=RED, label="MAE, broad test")
            shown += far
        for (name, found), colour in zip(arms.items(), cycle((GREEN, PURPLE, RED, INK)), strict=False):
            theirs = [1000 * getattr(r.test, f"{quantity}_mae") for r in found]
            axes.plot([r.n_labels for r in found], theirs, "^-", color=colour, label=f"MAE, {name}")
            shown += theirs
        for x, y in zip(labels, mae, strict=True):
            axes.annotate(
                three_digits(y),
                (x, y),
                (0, -13),
                textcoords="offset points",
                ha="center",
                color=BLUE,
                fontsize=8.5,
            )
        counts = [*labels, *(float(r.n_labels) for found in arms.values() for r in found)]
        scale(axes, "x", counts, ticks=sorted(set(counts)))
        scale(axes, "y", shown)
        axes.set(xlabel="labels", ylabel=f"test {quantity} error ({unit})")
        axes.margins(x=0.08)
        axes.legend(frameon=False)
    return figure


SAID = {"accurate": "members agree", "candidate": "candidate", "failed": "failed"}


def ledger(results: Sequence[RoundResult]) -> Figure:
    """What exploration met: frames on which the members agree, candidates, failed ones, in each round."""
    figure, (axes,) = panels(5.6, 3.3)
    explored = [(r.round, r.ledger) for r in results if r.ledger is not None and r.ledger.total > 0]
    rounds = [number for number, _ in explored]
    bottom = np.zeros(len(explored))
    for verdict, colour in (("accurate", GREEN), ("candidate", ORANGE), ("failed", RED)):
        counts = [getattr(counted, verdict) for _, counted in explored]
        share = np.array([100 * n / counted.total for n, (_, counted) in zip(counts, explored, strict=True)])
        axes.bar(rounds, share, bottom=bottom, color=colour, width=0.62, label=SAID[verdict])
        for x, base, height, n in zip(rounds, bottom, share, counts, strict=True):
            if height >= 6:
                axes.text(x, base + height / 2, str(n), ha="center", va="center", color="white", fontsize=9)
        bottom = bottom + share
    axes.set(ylabel="recorded frames (%)", ylim=(0, 100))
    round_axis(axes, rounds)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def cost(results: Sequence[RoundResult]) -> Figure:
    """Where the time of each round went."""
    figure, (axes,) = panels(5.6, 3.3)
    parts = {
        "labelling": ([r.label_seconds or 0.0 for r in results], PURPLE),
        "training": ([r.training.seconds for r in results], BLUE),
        "exploration": ([r.explore_seconds or 0.0 for r in results], SKY),
    }
    longest = max(sum(seconds) for seconds in zip(*(values for values, _ in parts.values()), strict=True))
    unit, divisor = ("h", 3600.0) if longest > 7200 else ("min", 60.0) if longest > 120 else ("s", 1.0)
    rounds = [r.round for r in results]
    bottom = np.zeros(len(results))
    for part, (seconds, colour) in parts.items():
        height = np.array(seconds) / divisor
        axes.bar(rounds, height, bottom=bottom, color=colour, width=0.62, label=part)
        bottom = bottom + height
    axes.set(ylabel=f"time ({unit})")
    round_axis(axes, rounds)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
    return figure
