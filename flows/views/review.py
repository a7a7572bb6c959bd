"""What a reviewer sees: the selected frames as a table and a picture, and what their labels would cost."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from ase.data.colors import jmol_colors
from ase.visualize.plot import plot_atoms
from matplotlib.figure import Figure

from exploration.selection import Selection
from flows.record.review import Request
from flows.views.duration import duration
from flows.views.summary import markdown_table, three_digits
from potential.data.frame import Frame

DIGITS = 8
"""Of an id, in tables and below pictures."""
COLUMNS, MOST_DRAWN = 6, 36


def review_table(selection: Selection) -> pd.DataFrame:
    """The selected frames in their order: what they are, how far the committee disagrees, why this one."""
    picked = selection.table[selection.table["decision"] == "selected"].sort_values("rank")
    formulas = {frame.id: frame.formula for frame in selection.frames}
    columns = [
        "rank",
        "frame_id",
        "replica",
        "step",
        "bath_temperature_K",
        "max_force_disagreement",
        "reason",
    ]
    table = picked[columns].copy()
    table.insert(2, "formula", table["frame_id"].map(formulas))
    return table


def shown_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """The table ready to show."""
    return [
        {
            "frame": str(row.frame_id)[:DIGITS],
            "formula": str(row.formula),
            "disagreement (meV/Å)": three_digits(1000 * float(row.max_force_disagreement)),
            "bath (K)": f"{row.bath_temperature_K:g}",
            "reason": str(row.reason),
        }
        for row in table.itertuples()
    ]


def estimate(request: Request) -> str:
    """`8 labels of about 40.0 s each: 5 min 20 s of computing (0.07 of money)`."""
    n = len(request.frames)
    labels = "1 label" if n == 1 else f"{n} labels"
    if request.seconds_per_label == 0:
        return f"{labels}; how long one takes is not known"
    if request.seconds < 1:
        return f"{labels}, less than a second of computing"
    price = "" if request.price is None else f" ({three_digits(request.price)} of money)"
    each = duration(request.seconds_per_label)
    return f"{labels} of about {each} each: {duration(request.seconds)} of computing{price}"


def review_markdown(title: str, table: pd.DataFrame, request: Request, picture: Path, command: str) -> str:
    """All that is needed to decide, as Prefect shows it."""
    image = base64.b64encode(picture.read_bytes()).decode()
    return "\n\n".join(
        [
            f"# {title}",
            f"{estimate(request)}. To decide: `{command} --approve`, `--drop FRAME ...` or `--reject`.",
            markdown_table(shown_rows(table)),
            f"![the selected frames](data:image/png;base64,{image})",
        ]
    )


def selection_picture(frames: Sequence[Frame], disagreements: Sequence[float]) -> Figure:
    """The frames side by side, each with its id and the committee's disagreement, eV/Å."""
    drawn = frames[:MOST_DRAWN]
    columns = min(COLUMNS, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(2.0 * columns, 2.2 * rows), dpi=80, facecolor="white")
    figure.set_layout_engine("constrained")
    for number, (frame, disagreement) in enumerate(zip(drawn, disagreements, strict=False), start=1):
        axes = figure.add_subplot(rows, columns, number)
        atoms = frame.to_atoms()
        plot_atoms(atoms, axes, radii=0.5, colors=jmol_colors[frame.numbers], rotation="10x,20y")
        axes.set_axis_off()
        axes.set_title(f"{frame.id[:DIGITS]}\n{1000 * disagreement:.0f} meV/Å", fontsize=8)
    if len(frames) > len(drawn):
        figure.supxlabel(f"and {len(frames) - len(drawn)} more", fontsize=9)
    return figure
