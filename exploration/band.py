"""The band of the committee's disagreement: is there something to learn from a physical frame?"""

from __future__ import annotations

from exploration.settings import ErrorBounds, ExplorationConfig
from exploration.verdict import FrameScores, Outcome, Verdict
from potential.calibration.calibration import Calibration


def band(scores: FrameScores, config: ExplorationConfig, calibration: Calibration | None = None) -> Verdict:
    """Accurate below the lower bound, candidate up to the upper, failed above.

    What is compared is the largest force disagreement of an atom, or with `config.error_bounds` and a
    calibration the largest expected error. Above the stop bound the replica has to stop, too: the forces
    that drive it mean nothing. A number that is NaN is above every bound.

    Members may agree where none of them knows anything: what would be accurate is a candidate where an atom's
    surroundings are farther from training than `config.max_extrapolation`.
    """
    verdict = _of_members(scores, config, calibration)
    strange, bound = scores.max_extrapolation, config.max_extrapolation
    if verdict.outcome is not Outcome.ACCURATE or strange is None or bound is None or strange <= bound:
        return verdict
    return Verdict(
        outcome=Outcome.CANDIDATE,
        reason=f"members agree ({verdict.reason}), but an atom's surroundings are {strange:.3g} times as far "
        f"from training as usual (bound {bound:g})",
    )


def _of_members(scores: FrameScores, config: ExplorationConfig, calibration: Calibration | None) -> Verdict:
    bounds, expected = config.error_bounds, scores.max_expected_error
    if bounds is None or calibration is None or expected is None:
        return _judge(
            scores.max_force_disagreement,
            (config.lower_eV_per_A, config.upper_eV_per_A, config.stop_eV_per_A),
            "force disagreement",
            "eV/Å",
        )
    factor, called = _measure(bounds, calibration)
    edges = (bounds.lower_meV_per_A, bounds.upper_meV_per_A, bounds.stop_meV_per_A)
    return _judge(1000 * factor * expected, edges, called, "meV/Å")


def _measure(bounds: ErrorBounds, calibration: Calibration) -> tuple[float, str]:
    """How many expected errors are compared with the bounds, and what that is called."""
    if bounds.level is None:
        return 1.0, "expected force error"
    return calibration.ratio(bounds.level), f"force error in {bounds.judged_by} of cases at most"


def _judge(worst: float, bounds: tuple[float, float, float], called: str, unit: str) -> Verdict:
    lower, upper, stop = bounds
    said = f"{called} {worst:.3g} {unit}"
    if not worst <= stop:
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"lost: {said} above the stop bound {stop}",
            stops=True,
        )
    if not worst <= upper:
        return Verdict(outcome=Outcome.FAILED, reason=f"too uncertain: {said} above the upper bound {upper}")
    if worst >= lower:
        return Verdict(outcome=Outcome.CANDIDATE, reason=f"{said} between {lower} and {upper}")
    return Verdict(outcome=Outcome.ACCURATE, reason=f"{said} below the lower bound {lower}")
