"""A second look at an energy that the committee did not expect: has the SCF ended in another state?

All labels of a campaign must lie on one potential energy surface. An excited state passes every check
that looks at one label alone, but its energy is far from what the committee says. The committee may be
the one that is wrong, which is what it is there to learn, so it is not the judge: another SCF, from
another guess, is. Where both energies agree the label stands; where not, the frame is quarantined.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from labeling.checks import CheckLimits, in_one_state
from labeling.cost import with_seconds
from labeling.failure import LabelFailure, RejectedByCheckError
from labeling.level import LevelOfTheory
from labeling.workers import LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A committee's energy of one frame: mean and standard deviation over the members, eV."""

    energy: float
    deviation: float


def is_unexpected(energy: float, n_atoms: int, expected: Expectation, limits: CheckLimits) -> bool:
    """Whether an energy (eV) is out of the committee's range."""
    floor = limits.committee_floor_meV_per_atom * n_atoms / 1000
    return not abs(energy - expected.energy) <= max(limits.committee_sigmas * expected.deviation, floor)


def confirmed(
    frame: Frame, label: Label, expected: Expectation, level: LevelOfTheory, workers: LabelWorkers
) -> Label | LabelFailure:
    """The label, computed a second time from another guess if the committee did not expect it.

    A level without a second guess has one state only: its labels stand.
    """
    limits = workers.config.checks
    if not level.can.second_guess:
        return label
    checks = {
        **label.provenance.get("checks", {}),
        "committee_energy_eV": expected.energy,
        "committee_deviation_eV": expected.deviation,
    }
    label = dataclasses.replace(label, provenance={**label.provenance, "checks": checks})
    if not is_unexpected(label.energy, len(frame), expected, limits):
        return label
    second = workers.label(frame, level, guess="second")
    seconds = second.seconds if isinstance(second, LabelFailure) else second.provenance.get("seconds", 0.0)
    label = dataclasses.replace(label, provenance=with_seconds(label.provenance, "second_guess", seconds))
    # A second SCF that fails says nothing about the first, which converged and passed its checks.
    if isinstance(second, LabelFailure):
        second = second.label or label
    try:
        return in_one_state(label, second, limits)
    except RejectedByCheckError as error:
        return LabelFailure(
            frame_id=frame.id,
            level_key=level.key,
            kind="rejected_by_check",
            message=f"{error}; the committee expected {expected.energy:.4f} ± {expected.deviation:.4f} eV",
            attempts=2,
            seconds=label.provenance["seconds"],
            label=error.label,
        )
