"""A map of the frames of a campaign: initial, picked, test, in the plane in which they differ most.

    d_f = mean of g_i over the atoms of each element of frame f, element after element

    g_i   surroundings of atom i      `potential.known_environments`
    d_f   a row of `descriptors`

The plane is that of the first two principal components of all d_f. What lies apart in it differs; what lies
together in it may still differ in other directions, whose share of the variance is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.roles import frozen_sets
from flows.views.calibration import SETS
from flows.views.plotting import BLUE, GREY, ORANGE, PURPLE, RED, panels
from flows.views.structures import picked
from potential.data.frame import Frame
from potential.data.structure_files import read_frames
from potential.known_environments import surroundings

FEWEST = 4
"""Frames that make a map."""
MOST = 500
"""Frames of a set that are drawn: the first."""


def space_figure(folder: CampaignFolder) -> dict[str, Figure]:
    """The map under its name, `space`; empty while there are too few frames."""
    sets = frame_sets(folder)
    return {"space": space_map(sets)} if sum(map(len, sets.values())) >= FEWEST else {}


def frame_sets(folder: CampaignFolder) -> dict[str, list[Frame]]:
    """Initial, picked and test frames of the main arm, by what they are called."""
    there = folder.initial_frames.exists()
    initial = read_frames(folder.initial_frames, check=False, index=f":{MOST}") if there else []
    chosen = [frame for frames in picked(folder.main.begun()).values() for frame in frames]
    tests = {SETS[name]: frames for name, frames in frozen_sets(folder).items()}
    found = {"initial": initial, "picked": chosen, **tests}
    return {name: frames[:MOST] for name, frames in found.items() if frames}


def descriptors(frames: Sequence[Frame]) -> Float64[np.ndarray, "frames features"]:
    """d of each frame."""
    elements = np.unique(np.concatenate([frame.numbers for frame in frames]))
    rows = []
    for frame in frames:
        g = surroundings(frame, elements)
        means = [
            g[frame.numbers == z].mean(axis=0) if (frame.numbers == z).any() else np.zeros(g.shape[1])
            for z in elements
        ]
        rows.append(np.concatenate(means))
    return np.array(rows)


def projected(
    features: Float64[np.ndarray, "frames features"],
) -> tuple[Float64[np.ndarray, "frames 2"], float]:
    """First two principal components, and their share of the variance."""
    centred = features - features.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(features), 2))
    kept = min(2, len(directions))
    plane[:, :kept] = centred @ directions[:kept].T
    whole = float((sizes**2).sum())
    return plane, float((sizes[:2] ** 2).sum() / whole) if whole > 0 else 1.0


def space_map(sets: Mapping[str, Sequence[Frame]]) -> Figure:
    """Every frame a point, its set by colour and shape."""
    frames = [frame for some in sets.values() for frame in some]
    points, share = projected(descriptors(frames))
    figure, (axes,) = panels(5.6, 4.4)
    looks = {
        "initial": (GREY, "o"),
        "picked": (BLUE, "^"),
        SETS["test"]: (ORANGE, "s"),
        SETS["broad"]: (RED, "D"),
    }
    begin = 0
    for name, some in sets.items():
        colour, marker = looks.get(name, (PURPLE, "v"))
        mine = points[begin : begin + len(some)]
        begin += len(some)
        axes.plot(*mine.T, marker, color=colour, label=f"{name} ({len(some)})", markersize=5, alpha=0.75)
    axes.set(xlabel=f"first of two components ({share:.0%} of the variance)", ylabel="second")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(frameon=False)
    return figure
