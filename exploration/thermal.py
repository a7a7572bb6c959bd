"""Molecular dynamics with an ASE calculator, one frame after the other as it is visited.

ASE's dynamics and optimizers load half of scipy, so they wait until something moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from potential.data.frame import Frame
from potential.data.plausibility import check_frame

RELAX_STEPS, RELAX_FMAX_EV_PER_A = 50, 0.1


@runtime_checkable  # for the checks of types in the tests
class Course(Protocol):
    """How a trajectory runs; times in fs."""

    @property
    def timestep_fs(self) -> float: ...
    @property
    def equilibration_fs(self) -> float: ...
    @property
    def spacing_fs(self) -> float: ...
    @property
    def friction_per_fs(self) -> float: ...
    @property
    def min_distance_factor(self) -> float: ...


class BrokenError(ValueError):
    """The trajectory has come to an impossible structure."""


def relaxed(
    frame: Frame,
    calculator: Calculator,
    fmax_eV_per_A: float = RELAX_FMAX_EV_PER_A,
    steps: int = RELAX_STEPS,
) -> Frame:
    """At fixed cell; by default briefly, so that velocities and not a poor start set the temperature."""
    from ase.optimize import BFGS

    atoms = frame.to_atoms()
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=fmax_eV_per_A, steps=steps)
    return frame.moved(atoms.positions)


def visited(
    frame: Frame,
    calculator: Calculator,
    n: int,
    course: Course,
    *,
    temperature_K: float,
    rng: np.random.Generator,
    origin: Mapping[str, Any],
) -> Iterator[tuple[Frame, Atoms]]:
    """`n` frames of a Langevin trajectory from `frame`, `spacing_fs` apart, after equilibration.

    Each comes with its Atoms, whose calculator has the energy and forces of this moment.

    Args:
        origin: what each frame's `origin` shall say besides its step.

    Raises:
        BrokenError: where a frame is unphysical (`check_frame`).
    """
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import thermalize_momenta

    atoms = frame.to_atoms()
    atoms.calc = calculator
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=rng)
    dynamics = Langevin(
        atoms,
        course.timestep_fs * units.fs,
        temperature_K=temperature_K,
        friction=course.friction_per_fs / units.fs,
        fixcm=False,
        rng=rng,
    )
    spacing = max(1, round(course.spacing_fs / course.timestep_fs))
    dynamics.run(round(course.equilibration_fs / course.timestep_fs))
    for _ in range(n):
        dynamics.run(spacing)
        made = frame.moved(atoms.positions, origin={**origin, "step": dynamics.nsteps})
        try:
            check_frame(made, min_distance_factor=course.min_distance_factor)
        except ValueError as error:
            raise BrokenError(
                f"MD at {temperature_K:.0f} K broke {frame.formula} at step {dynamics.nsteps}: {error}"
            ) from error
        yield made, atoms
