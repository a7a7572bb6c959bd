"""What the committee expects of frames that are about to be labelled; `labeling.confirming` uses it."""

from __future__ import annotations

from collections.abc import Sequence

from labeling.confirming import Expectation
from potential.data.frame import Frame
from potential.evaluator import Evaluator
from potential.nequip.batch import Structures


def expectations(committee: Evaluator, frames: Sequence[Frame]) -> dict[str, Expectation]:
    """What the committee expects, by frame id."""
    if not frames:
        return {}
    prediction = committee(Structures.of(list(frames)))
    energies = zip(prediction.mean_energy.tolist(), prediction.energy_disagreement.tolist(), strict=True)
    return {
        frame.id: Expectation(energy=energy, deviation=deviation)
        for frame, (energy, deviation) in zip(frames, energies, strict=True)
    }
