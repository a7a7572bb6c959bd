"""A label that could not be made is a value that says why and what to do, not an exception.

The exceptions here are how a labeler, or a check, tells `labeling.attempt` which value that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from potential.data.dataset import Label

FailureKind = Literal[
    "invalid_frame",
    "not_converged",
    "rejected_by_check",
    "timeout",
    "out_of_memory",
    "crashed",
    "error",
    "not_made",
]

ADVICE: dict[FailureKind, str] = {
    "invalid_frame": "This level of theory cannot label this frame; correct the charge, spin or elements, or "
    "choose another level.",
    "not_converged": "The SCF did not converge on any rung of the ladder. Often the geometry is far from any "
    "minimum or the spin is wrong; such a frame is best left out. Otherwise raise max_scf_cycles (of xTB "
    "max_iterations, in `parameters`).",
    "rejected_by_check": "The numbers are not those of a sound label; look at the frame before you trust its "
    "neighbours, and release it by hand if it is sound (`alnico quarantine`). Lower the temperature of the "
    "exploration if many frames end here. "
    "A closed shell that is not stable (a stretched bond) wants `level.stability: true` or another `spin`. "
    "A net force in a crystal means too few plane waves: raise ke_cutoff_hartree.",
    "timeout": "The label took longer than timeout_s; raise it, or choose a cheaper level of theory.",
    "out_of_memory": "The label needed more than memory_GB; raise it, run fewer workers, or choose a smaller "
    "basis.",
    "crashed": "The process that computed the label died (killed from outside, or a fault in compiled code); "
    "if the system ran short of memory, run fewer workers.",
    "not_made": "It was to be labelled elsewhere and was not; `alnico labels import` takes its label when it "
    "comes.",
    "error": "The labeler raised an error that nobody foresaw; the message holds its last lines.",
}


class CannotLabelError(Exception):
    """No frame can be labelled here, whatever it is: something is missing or set wrong. Not retried."""


class NotConvergedError(Exception):
    """The calculation converged by no means that the labeler has: there is no energy, hence no label."""


class RejectedByCheckError(Exception):
    """The label was computed but is not sound; the message holds the values and the limits.

    Attributes:
        label: what was computed, with the values in `provenance["checks"]`; None where not even its
            numbers are finite.
    """

    def __init__(self, message: str, label: Label | None = None) -> None:
        super().__init__(message)
        self.label = label


@dataclass(frozen=True, kw_only=True)
class LabelFailure:
    """Why a frame has no label at one level of theory.

    Attributes:
        frame_id: `Frame.id` of the structure.
        level_key: `key` of the level of theory.
        kind: what went wrong, in one word.
        message: what was seen, with its numbers.
        advice: what to do about it; filled in by kind.
        attempts: how often it was tried.
        seconds: wall time of all attempts together.
        label: the numbers of a label that was computed, but rejected by a check; else None.
    """

    frame_id: str
    level_key: str
    kind: FailureKind
    message: str
    advice: str = ""
    attempts: int = 1
    seconds: float = 0.0
    label: Label | None = None

    def __post_init__(self) -> None:
        if not self.advice:
            object.__setattr__(self, "advice", ADVICE[self.kind])
