"""Selection from a pool that has labels already, as if it had none: what learning-curve studies do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from exploration.ledger import Exploration
from exploration.selection import Selection, select
from exploration.strategies import Strategy
from exploration.uncertainty import uncertainty
from exploration.verdict import Outcome
from potential.data.frame import Frame
from potential.evaluator import Evaluator
from potential.nequip.batch import Structures

BATCH = 64


def scored_pool(committee: Evaluator, frames: Sequence[Frame], *, candidate_share: float) -> Exploration:
    """The frames with the committee's disagreement, the most uncertain share of them as candidates.

    A pool has no bounds of its own in eV/Angstrom that would fit every committee, hence a share. All are
    physical. Frames whose origin has a temperature are of that rung of a ladder.

    Args:
        candidate_share: from 0 (none) to 1 (all).
    """
    worst: list[float] = []
    for start in range(0, len(frames), BATCH):
        structures = Structures.of(frames[start : start + BATCH])
        worst += uncertainty(committee(structures), structures).max_force.tolist()
    disagreement = np.array(worst)
    order = np.argsort(-disagreement, kind="stable")
    candidates = set(order[: round(candidate_share * len(frames))].tolist())
    verdicts = [Outcome.CANDIDATE if i in candidates else Outcome.ACCURATE for i in range(len(frames))]
    records = pd.DataFrame(
        {
            "frame_id": [frame.id for frame in frames],
            "replica": 0,
            "step": range(len(frames)),
            "bath_temperature_K": [_rung(frame) for frame in frames],
            "max_force_disagreement": disagreement,
            "verdict": [str(verdict) for verdict in verdicts],
            "reason": [
                f"force disagreement {value:.3g} eV/Å, {'in' if v is Outcome.CANDIDATE else 'not in'} the "
                f"most uncertain {candidate_share:.0%} of {len(frames)} frames"
                for value, v in zip(worst, verdicts, strict=True)
            ],
            "physical": True,
        }
    )
    return Exploration(records=records, frames=tuple(frames), replicas=pd.DataFrame())


def _rung(frame: Frame) -> float:
    """The temperature of the bath in which a frame was met, as its origin says; of others 0."""
    met = frame.origin.get("bath_temperature_K", frame.origin.get("temperature_K"))
    return float(met) if isinstance(met, int | float) and np.isfinite(met) else 0.0


def select_from_pool(
    committee: Evaluator,
    pool: Sequence[Frame],
    learned: Sequence[Frame],
    strategy: Strategy,
    n: int,
    *,
    candidate_share: float,
    seed: int,
) -> Selection:
    """At most `n` frames of the pool that are not among the learned ones, by the strategy."""
    known = {frame.id for frame in learned}
    left = [frame for frame in pool if frame.id not in known]
    return select(
        scored_pool(committee, left, candidate_share=candidate_share),
        descriptors=committee.descriptors,
        training_frames=learned,
        strategy=strategy.model_copy(update={"frames_per_round": n}),
        seed=seed,
    )
