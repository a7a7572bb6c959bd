"""One attempt at one label, in this process."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import Literal

from labeling import ase_labeler, lennard_jones, periodic_labeler, pyscf_labeler
from labeling.ase_level import AseLevel
from labeling.checks import CheckLimits, checked
from labeling.failure import (
    CannotLabelError,
    FailureKind,
    LabelFailure,
    NotConvergedError,
    RejectedByCheckError,
)
from labeling.foreign_level import ForeignLevel
from labeling.level import LennardJonesLevel, LevelOfTheory, PySCFLevel
from labeling.periodic_level import PeriodicLevel
from potential.data.dataset import Label
from potential.data.frame import Frame

Guess = Literal["standard", "second"]
Backend = Literal["cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How a label is computed; none of it changes the numbers beyond the SCF's tolerance.

    Attributes:
        limits: what the label must satisfy.
        guess: where the SCF starts; "second" is another start than usual, to find out whether the SCF
            ended in the ground state.
        backend: PySCF or, where it has the level, gpu4pyscf.
    """

    limits: CheckLimits = field(default_factory=CheckLimits)
    guess: Guess = "standard"
    backend: Backend = "cpu"


def compute(frame: Frame, level: LevelOfTheory, conditions: Conditions) -> Label:
    """Energy and forces of `frame` at `level`; raises whatever the labeler raises."""
    match level:
        case PySCFLevel():
            second = conditions.guess == "second"
            return pyscf_labeler.compute(frame, level, second_guess=second, backend=conditions.backend)
        case PeriodicLevel():
            return periodic_labeler.compute(frame, level, second_guess=conditions.guess == "second")
        case LennardJonesLevel():
            return lennard_jones.compute(frame, level)
        case AseLevel():
            return ase_labeler.compute(frame, level)
        case ForeignLevel():
            raise CannotLabelError(
                f"labels of {level.name!r} are made elsewhere (labeler: none); import them with "
                f"`alnico labels import STORE FILE --vouch {level.name!r}`"
            )


def attempt(frame: Frame, level: LevelOfTheory, conditions: Conditions | None = None) -> Label | LabelFailure:
    """A checked label, or the failure that says why there is none.

    It has no limit of time or memory and dies with the process; `labeling.workers` gives it both.

    Raises:
        CannotLabelError: if no label can be computed here at all, for want of a package or a card.
    """
    conditions = conditions or Conditions()
    started = time.perf_counter()

    def failed(kind: FailureKind, message: str, label: Label | None = None) -> LabelFailure:
        return LabelFailure(
            frame_id=frame.id,
            level_key=level.key,
            kind=kind,
            message=message,
            seconds=time.perf_counter() - started,
            label=label,
        )

    try:
        level.check(frame)
    except ValueError as error:
        return failed("invalid_frame", str(error))
    try:
        return checked(frame, compute(frame, level, conditions), conditions.limits)
    except NotConvergedError as error:
        return failed("not_converged", str(error))
    except RejectedByCheckError as error:
        return failed("rejected_by_check", str(error), error.label)
    except ImportError as error:
        raise CannotLabelError(f"{level.name} needs a package that is not there: {error}") from error
    except CannotLabelError:
        raise
    except MemoryError as error:
        return failed("out_of_memory", f"{frame.formula} at {level.name}: {error or 'allocation refused'}")
    except Exception as error:  # noqa: BLE001 - one bad frame must not end the campaign
        where = "".join(traceback.format_tb(error.__traceback__)[-2:]).rstrip()
        return failed("error", f"{type(error).__name__}: {error}\n{where}")
