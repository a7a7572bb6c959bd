"""What figures have in common: colours, panels, scales, dots.

Object API only, so no figure lives in pyplot's global state. Colours: Okabe and Ito's palette, which the
colour-blind tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, INK = "#56B4E9", "#CC79A7", "#8A8F98", "#24292F"
ELEMENT_COLOURS = {"H": SKY, "C": INK, "O": RED, "N": BLUE, "S": ORANGE, "F": GREEN, "Cl": PURPLE}
LOG_FROM_RATIO = 6.0
"""An axis whose values span more than this factor is logarithmic."""


def panels(width: float, height: float, *, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with axes side by side."""
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    figure.set_layout_engine("constrained", wspace=0.08)
    drawn = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E6E8EB", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9, length=3)
    return figure, drawn


def dots(n: int) -> dict[str, Any]:
    # rasterised, so that an SVG of many thousand atoms stays small
    return {
        "markersize": 5 if n < 1000 else 3,
        "alpha": 0.6 if n < 1000 else 0.35,
        "mew": 0,
        "rasterized": True,
    }


def round_axis(axes: Axes, rounds: Sequence[int]) -> None:
    axes.set(xlabel="round", xlim=(min(rounds, default=0) - 0.8, max(rounds, default=0) + 0.8))
    if len(rounds) <= 12:
        axes.set_xticks(rounds)


def scale(axes: Axes, which: str, values: Sequence[float], *, ticks: Sequence[float] | None = None) -> None:
    """Logarithmic with plain numbers where the values span much, else linear (y from zero)."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    positive = [v for v in values if np.isfinite(v) and v > 0]
    if len(positive) == len(values) > 0 and max(positive) > LOG_FROM_RATIO * min(positive):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = np.log10(max(positive) / min(positive))
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    elif which == "y":
        axes.set_ylim(0, 1.1 * max(values, default=1.0) or 1.0)
    if ticks is not None and len(ticks) <= 8:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
