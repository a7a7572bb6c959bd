"""One attempt at one label, in this process."""

from __future__ import annotations

import time
import traceback

from labeling import lennard_jones, pyscf_labeler
from labeling.checks import RejectedByCheckError, checked
from labeling.failure import FailureKind, LabelFailure
from labeling.level import LennardJonesLevel, LevelOfTheory, PySCFLevel
from potential.dataset import Label
from potential.frame import Frame


def compute(frame: Frame, level: LevelOfTheory) -> Label:
    """Energy and forces of `frame` at `level`; raises whatever the labeler raises."""
    match level:
        case PySCFLevel():
            return pyscf_labeler.compute(frame, level)
        case LennardJonesLevel():
            return lennard_jones.compute(frame, level)


def attempt(frame: Frame, level: LevelOfTheory) -> Label | LabelFailure:
    """A checked label, or the failure that says why there is none. Never raises.

    It has no limit of time or memory and dies with the process; `labeling.workers` gives it both.
    """
    started = time.perf_counter()

    def failed(kind: FailureKind, message: str) -> LabelFailure:
        seconds = time.perf_counter() - started
        return LabelFailure(
            frame_id=frame.id, level_key=level.key, kind=kind, message=message, seconds=seconds
        )

    try:
        level.check(frame)
    except ValueError as error:
        return failed("invalid_frame", str(error))
    try:
        return checked(frame, compute(frame, level))
    except pyscf_labeler.NotConvergedError as error:
        return failed("not_converged", str(error))
    except RejectedByCheckError as error:
        return failed("rejected_by_check", str(error))
    except MemoryError as error:
        return failed("out_of_memory", f"{frame.formula} at {level.name}: {error or 'allocation refused'}")
    except Exception as error:  # noqa: BLE001 - one bad frame must not end the campaign
        where = "".join(traceback.format_tb(error.__traceback__)[-2:]).rstrip()
        return failed("error", f"{type(error).__name__}: {error}\n{where}")
