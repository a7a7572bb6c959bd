"""The structures that a report shows: where it began, what was picked, where the errors are largest.

They are drawn by 3Dmol.js, which the report holds, so that nothing is asked of a network. Where scripts do
not run, there is a picture of the first.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase.data.colors import jmol_colors
from ase.visualize.plot import plot_atoms
from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.roles import frozen_sets
from flows.record.rounds import RoundFolder
from flows.views.summary import three_digits
from potential.data.frame import Frame
from potential.data.notes import StructureWarning
from potential.data.structure_files import read_frames

VIEWER = Path(__file__).with_name("vendored") / "3Dmol-min.js"
MOST = 200
"""Structures in a report, so that it stays small, and of a file that are read for it: the first."""
WORST = 8
"""Test frames with the largest errors that are named."""


def start_of(folder: CampaignFolder) -> list[Frame]:
    """What the campaign starts from; where its files are gone, its first initial frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # they were told when the campaign began
        try:
            return folder.config.structure.frames()
        except (ValueError, OSError):
            return _read(folder.initial_frames)[:1]


def picked(rounds: Sequence[RoundFolder]) -> dict[str, list[Frame]]:
    """The first frames that each round selected, by its name."""
    found = {str(here): _read(here.select / "selected.extxyz") for here in rounds}
    return {name: frames for name, frames in found.items() if frames}


def largest_errors(atoms: pd.DataFrame, frames: pd.DataFrame | None) -> pd.DataFrame:
    """The test frames with the largest force error on an atom, a row each, the worst first.

    Columns: `frame_id`, `atom` (`C1`), `force_error` and `force_disagreement` of that atom (eV/Å), and
    where there is a table of frames `energy_error` (eV/atom).
    """
    worst = atoms.loc[atoms.groupby("frame_id")["force_error"].idxmax()]
    worst = worst.nlargest(WORST, "force_error").reset_index(drop=True)
    found = worst[["frame_id", "force_error", "force_disagreement"]].copy()
    found.insert(1, "atom", worst["symbol"] + worst["atom"].astype(str))
    if frames is not None:
        error = ((frames["energy"] - frames["energy_ref"]) / frames["n_atoms"]).set_axis(frames["frame_id"])
        found["energy_error"] = error.reindex(found["frame_id"]).to_numpy()
    return found


def shown_structures(
    folder: CampaignFolder, rounds: Sequence[RoundFolder], errors: pd.DataFrame | None
) -> list[dict[str, Any]]:
    """What the viewer needs of each structure: group, title, id, coordinates, cell edges."""
    worst = [] if errors is None else errors["frame_id"].tolist()
    tests = {frame.id: frame for frames in frozen_sets(folder).values() for frame in frames}
    groups = {
        "where it began": start_of(folder),
        "largest test errors": [tests[frame] for frame in worst if frame in tests],
        **{f"picked in {name}": frames for name, frames in picked(rounds).items()},
    }
    return [
        {
            "group": group,
            "title": f"{number}. {frame.formula} {frame.id[:8]}",
            "id": frame.id,
            "xyz": _xyz(frame),
            "cell": _edges(frame),
        }
        for group, frames in groups.items()
        for number, frame in enumerate(frames, start=1)
    ][:MOST]


def structure_picture(frame: Frame) -> str:
    """As the address of an image that needs no file."""
    figure = Figure(figsize=(3.2, 3.0), facecolor="white")
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    plot_atoms(frame.to_atoms(), axes, radii=0.9, colors=jmol_colors[frame.numbers], rotation="10x,20y")
    axes.set_axis_off()
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.getvalue().encode()).decode()}"


def viewer() -> str:
    """3Dmol.js."""
    return VIEWER.read_text(encoding="utf-8")


def _read(file: Path) -> list[Frame]:
    """The first of a file; a round may have picked thousands."""
    return read_frames(file, check=False, index=f":{MOST}") if file.exists() and file.stat().st_size else []


def _xyz(frame: Frame) -> str:
    rows = zip(frame.symbols, frame.positions - frame.positions.mean(axis=0), strict=True)
    atoms = "\n".join(f"{symbol} {x:.3f} {y:.3f} {z:.3f}" for symbol, (x, y, z) in rows)
    return f"{len(frame)}\n\n{atoms}\n"


def _edges(frame: Frame) -> list[list[list[float]]]:
    """Both ends of the twelve edges of the cell of a crystal; none of a molecule's."""
    if not any(frame.pbc):
        return []
    origin, edges = frame.positions.mean(axis=0), []
    for along in range(3):
        others = [axis for axis in range(3) if axis != along]
        for shift in product((0, 1), repeat=2):
            begin = sum((s * frame.cell[axis] for s, axis in zip(shift, others, strict=True)), np.zeros(3))
            ends = np.round([begin - origin, begin + frame.cell[along] - origin], 3)
            edges.append(ends.tolist())
    return edges


def error_rows(errors: pd.DataFrame, shown: Mapping[str, str]) -> list[dict[str, str]]:
    """The largest errors ready to show; `shown` are the titles of the structures in the viewer, by id."""
    return [
        {
            "frame": str(row["frame_id"]),
            "title": shown.get(str(row["frame_id"]), ""),
            "atom": str(row["atom"]),
            "force error (meV/Å)": three_digits(1000 * float(row["force_error"])),
            "disagreement (meV/Å)": three_digits(1000 * float(row["force_disagreement"])),
            "energy error (meV/atom)": f"{1000 * row['energy_error']:+.2f}" if "energy_error" in row else "–",
        }
        for row in errors.to_dict("records")
    ]
