"""The verdict on a frame of the exploration: accurate, candidate or failed, and why.

Finiteness comes first and every bound is written so that NaN fails it: a NaN slips through `<` and
`>` alike, and would end up as "no candidates".
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from enum import StrEnum

from exploration.settings import ExplorationConfig
from potential.data.frame import Frame
from potential.data.plausibility import closest_pair, describe_pair

MAX_STRIDE_A = 0.5
"""A hydrogen atom at 3000 K moves 0.05 Å in 1 fs; ten times that is an explosion, not motion."""


class Outcome(StrEnum):
    """What a frame is good for."""

    ACCURATE = "accurate"
    CANDIDATE = "candidate"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """What is known of a recorded frame.

    Attributes:
        energy: mean of the committee, eV.
        max_force_disagreement: of its atoms, eV/Angstrom.
        mean_force_disagreement: of its atoms, eV/Angstrom.
        energy_disagreement_per_atom: eV/atom.
        temperature_K: kinetic temperature of this instant.
        stride_A: the largest distance that an atom is about to move in one step, Angstrom.
    """

    energy: float
    max_force_disagreement: float
    mean_force_disagreement: float
    energy_disagreement_per_atom: float
    temperature_K: float
    stride_A: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Outcome, its reason in numbers, and whether the replica has to stop here."""

    outcome: Outcome
    reason: str
    stops: bool = False


def judge(
    frame: Frame, scores: FrameScores, *, bath_temperature_K: float, config: ExplorationConfig
) -> Verdict:
    """Judge one frame: finite, physical, then the band of the committee's disagreement."""
    return _unphysical(frame, scores, bath_temperature_K, config) or _banded(scores, config)


def _unphysical(
    frame: Frame, scores: FrameScores, bath_temperature_K: float, config: ExplorationConfig
) -> Verdict | None:
    if not all(map(math.isfinite, astuple(scores))):
        bad = [f"{name} {value}" for name, value in vars(scores).items() if not math.isfinite(value)]
        return _stop(f"not finite: {', '.join(bad)}")
    if not scores.stride_A <= MAX_STRIDE_A:
        return _stop(
            f"explodes: an atom would move {scores.stride_A:.3g} Å in one step of {config.timestep_fs} fs "
            f"(bound {MAX_STRIDE_A})"
        )
    pair = closest_pair(frame)
    if pair is not None and not pair.ratio >= config.min_distance_factor:
        return _stop(f"too close: {describe_pair(frame, pair)} (bound {config.min_distance_factor})")
    bound = config.max_temperature_factor * bath_temperature_K
    if not scores.temperature_K <= bound:
        return _stop(
            f"too hot: {scores.temperature_K:.0f} K in a bath of {bath_temperature_K:.0f} K "
            f"(bound {bound:.0f} K)"
        )
    return None


def _banded(scores: FrameScores, config: ExplorationConfig) -> Verdict:
    worst = scores.max_force_disagreement
    said = f"force disagreement {worst:.3g} eV/Å"
    if not worst <= config.stop_eV_per_A:
        return _stop(f"lost: {said} above the stop bound {config.stop_eV_per_A}")
    if not worst <= config.upper_eV_per_A:
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"too uncertain: {said} above the upper bound {config.upper_eV_per_A}",
        )
    if worst >= config.lower_eV_per_A:
        return Verdict(
            outcome=Outcome.CANDIDATE,
            reason=f"{said} between {config.lower_eV_per_A} and {config.upper_eV_per_A}",
        )
    return Verdict(outcome=Outcome.ACCURATE, reason=f"{said} below the lower bound {config.lower_eV_per_A}")


def _stop(reason: str) -> Verdict:
    return Verdict(outcome=Outcome.FAILED, reason=reason, stops=True)
