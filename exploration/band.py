"""The band of the committee's disagreement: is there something to learn from a physical frame?"""

from __future__ import annotations

from exploration.settings import ExplorationConfig
from exploration.verdict import FrameScores, Outcome, Verdict


def band(scores: FrameScores, config: ExplorationConfig) -> Verdict:
    """Accurate below `lower_eV_per_A`, candidate up to `upper_eV_per_A`, failed above.

    Above `stop_eV_per_A` the replica has to stop, too: the forces that drive it mean nothing. A
    disagreement that is NaN is above every bound.
    """
    worst = scores.max_force_disagreement
    said = f"force disagreement {worst:.3g} eV/Å"
    if not worst <= config.stop_eV_per_A:
        return Verdict(
            outcome=Outcome.FAILED,
            reason=f"lost: {said} above the stop bound {config.stop_eV_per_A}",
            stops=True,
        )
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
