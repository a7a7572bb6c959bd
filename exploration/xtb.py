"""GFN2-xTB, the cheap method that frames are made with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ase.calculators.calculator import CalculationFailed, Calculator, InputError
from threadpoolctl import threadpool_limits

from exploration.thermal import RELAX_FMAX_EV_PER_A, RELAX_STEPS, relaxed
from potential.data.frame import Frame
from potential.data.plausibility import thickness

XTB_MIN_CELL_A = 8.0
# Below this size, xTB's threads cost more than they save, and very much more on a busy machine.
THREADS_HELP_FROM_ATOMS = 40
MINIMUM_FMAX_EV_PER_A, MINIMUM_STEPS = 0.01, 500
FAILURES = (CalculationFailed, InputError)
"""What tblite raises for a molecule that it cannot treat."""


def gfn2_xtb(frame: Frame) -> Calculator:
    """GFN2-xTB (Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) for `frame`.

    Raises:
        ImportError: where `tblite` is not installed.
        ValueError: for a cell too small for the Gamma point.
    """
    _refuse_what_gamma_cannot_sample(frame)
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise ImportError(
            "frames by GFN2-xTB need tblite, which cannot be imported: pip install tblite; "
            "or write method: displacement, which needs nothing"
        ) from error
    return TBLite(method="GFN2-xTB", charge=frame.charge, multiplicity=frame.spin + 1, verbosity=0)


def few_threads(frames: Sequence[Frame]) -> AbstractContextManager[object]:
    """One thread within it, where the molecules are small; it loads the library, whose threads it limits."""
    gfn2_xtb(frames[0])
    small = max(len(frame) for frame in frames) < THREADS_HELP_FROM_ATOMS
    limits: AbstractContextManager[object] = threadpool_limits(1 if small else None)
    return limits


def relaxed_by_xtb(
    frame: Frame, fmax_eV_per_A: float = RELAX_FMAX_EV_PER_A, steps: int = RELAX_STEPS
) -> Frame:
    """As `exploration.thermal.relaxed`.

    Raises:
        ValueError: where GFN2-xTB cannot treat it.
    """
    try:
        return relaxed(frame, gfn2_xtb(frame), fmax_eV_per_A, steps)
    except FAILURES as error:
        raise xtb_error(frame, error) from error


def minimum_by_xtb(frame: Frame) -> Frame:
    """The nearest minimum: so far relaxed that what is left is small beside any heat.

    Raises:
        ValueError: where GFN2-xTB cannot treat it.
    """
    return relaxed_by_xtb(frame, MINIMUM_FMAX_EV_PER_A, MINIMUM_STEPS)


def xtb_error(frame: Frame, error: Exception) -> ValueError:
    """What the user reads of a failure."""
    return ValueError(
        f"GFN2-xTB cannot treat {frame.formula} (charge {frame.charge:+d}, spin {frame.spin}): "
        f"{str(error).strip()}; check charge and spin, or make the frames by method: displacement or file"
    )


def _refuse_what_gamma_cannot_sample(frame: Frame) -> None:
    """tblite has no other k-points: diamond's 2-atom cell lies 12 eV/atom above its 8-atom cell."""
    thinnest = thickness(frame)
    if not thinnest >= XTB_MIN_CELL_A:
        raise ValueError(
            f"GFN2-xTB (tblite) has the Gamma point only, and the cell of {frame.formula} is "
            f"{thinnest:.1f} Å thin, expected at least {XTB_MIN_CELL_A:g}; make the frames by "
            "method: displacement, or start from a larger supercell"
        )
