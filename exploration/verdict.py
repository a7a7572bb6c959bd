"""What is known of a recorded frame, and what it is good for.

Two judgements lead to the verdict: the physical filter (exploration/filters.py), which runs while the
trajectory does, and the band of the committee's disagreement (exploration/band.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
        stride_A: the largest distance that an atom or its nearest image is about to move in one step,
            Angstrom.
        volume_ratio: of the cell to that of the replica's start; 1 where the cell does not move.
        max_expected_error: the largest expected force error of its atoms, eV/Angstrom; None without a
            calibration.
        mean_expected_error: the mean of its atoms, eV/Angstrom.
        max_extrapolation: the largest of its atoms (`potential.known_environments`); None where it is not
            known what the training has seen.
    """

    energy: float
    max_force_disagreement: float
    mean_force_disagreement: float
    energy_disagreement_per_atom: float
    temperature_K: float
    stride_A: float
    volume_ratio: float = 1.0
    max_expected_error: float | None = None
    mean_expected_error: float | None = None
    max_extrapolation: float | None = None

    def known(self) -> dict[str, float]:
        """By name, without those that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome and its reason in numbers.

    Attributes:
        physical: whether the structure makes sense, whatever the committee thinks of it.
        stops: whether the replica has to stop here.
    """

    outcome: Outcome
    reason: str
    physical: bool = True
    stops: bool = False

    @classmethod
    def unphysical(cls, reason: str) -> Verdict:
        """A frame that the physical filter refuses; its replica stops."""
        return cls(outcome=Outcome.FAILED, reason=reason, physical=False, stops=True)
