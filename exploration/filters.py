"""The physical filter: does a frame of the trajectory make sense, whatever the committee thinks of it?

It runs while the trajectory does. Finiteness comes first and every bound is written so that NaN fails
it: a NaN slips through `<` and `>` alike, and would end up as "no candidates".
"""

from __future__ import annotations

import math

from exploration.settings import ExplorationConfig
from exploration.verdict import FrameScores
from potential.data.frame import Frame
from potential.data.plausibility import closest_pair, describe_pair

MAX_STRIDE_A = 0.5
"""A hydrogen atom at 3000 K moves 0.05 Å in 1 fs; ten times that is an explosion, not motion."""


def unphysical(
    frame: Frame, scores: FrameScores, *, bath_temperature_K: float, config: ExplorationConfig
) -> str | None:
    """Why the frame is unphysical, in numbers; None for a physical frame."""
    bad = [f"{name} {value}" for name, value in scores.known().items() if not math.isfinite(value)]
    if bad:
        return f"not finite: {', '.join(bad)}"
    if not scores.stride_A <= MAX_STRIDE_A:
        return (
            f"explodes: an atom would move {scores.stride_A:.3g} Å in one step of {config.timestep_fs} fs "
            f"(bound {MAX_STRIDE_A})"
        )
    widest = config.max_volume_factor
    if not 1 / widest <= scores.volume_ratio <= widest:
        went = "explodes" if scores.volume_ratio > 1 else "collapses"
        return (
            f"the cell {went}: {scores.volume_ratio:.3g} times the volume of its start "
            f"(bounds {1 / widest:.3g} and {widest:.3g})"
        )
    pair = closest_pair(frame)
    if pair is not None and not pair.ratio >= config.min_distance_factor:
        return f"too close: {describe_pair(frame, pair)} (bound {config.min_distance_factor})"
    bound = config.max_temperature_factor * bath_temperature_K
    if not scores.temperature_K <= bound:
        return (
            f"too hot: {scores.temperature_K:.0f} K in a bath of {bath_temperature_K:.0f} K "
            f"(bound {bound:.0f} K)"
        )
    return None
