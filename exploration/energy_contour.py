"""Frames along surfaces of one energy of GFN2-xTB: contour exploration.

A walk keeps the potential energy and turns as the surface does (Waters and Rondinelli, J. Phys.: Condens.
Matter 33, 445901 (2021); `ase.md.contour_exploration`). Without inertia it takes steps many times as long as
dynamics do, so that frames a few steps apart differ. Its energy lies above the minimum by M kT / 2, the mean
potential energy of M harmonic modes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.contour_exploration import ContourExploration

from exploration.draws import first_physical
from exploration.frame_sources import EnergyContour
from exploration.held import refuse_fixed_atoms
from exploration.xtb import FAILURES, few_threads, gfn2_xtb, minimum_by_xtb, xtb_error
from potential.data.frame import Frame

FIRST_PUSH_A = 0.02
"""Standard deviation of each coordinate at the start, as the minimum has no contour."""
CLIMB_STEPS = 50
"""Before the first frame, for the walk to reach its energy."""


def energy_contour_frames(start: Sequence[Frame], config: EnergyContour, seed: int) -> Iterator[Frame]:
    """Without end: a walk for each start and temperature, a frame of each in turn.

    Raises:
        ValueError: for fixed atoms, where GFN2-xTB cannot treat a start, or where no frame is physical.
        ImportError: where `tblite` is not installed.
    """
    refuse_fixed_atoms(start)
    with few_threads(start):
        minima = [minimum_by_xtb(frame) for frame in start]
    walks = [
        _Walk(minimum, temperature_K, config, seed, number)
        for number, (temperature_K, minimum) in enumerate(product(config.temperatures_K, minima))
    ]
    while True:
        for walk in walks:
            with few_threads(start):
                frame = walk.next()
            yield frame


class _Walk:
    """From one minimum at one energy; how far it came."""

    def __init__(
        self, minimum: Frame, temperature_K: float, config: EnergyContour, seed: int, number: int
    ) -> None:
        self.minimum, self.temperature_K, self.config = minimum, temperature_K, config
        self.origin = {"method": config.method, "temperature_K": temperature_K, "walk": number, "seed": seed}
        self.step = 0
        rng = np.random.default_rng([seed, number])
        self.atoms = minimum.to_atoms()
        self.atoms.calc = _WithFreeEnergy(gfn2_xtb(minimum))
        height = modes(minimum) / 2 * units.kB * temperature_K
        try:
            target = self.atoms.get_potential_energy() + height
        except FAILURES as error:
            raise xtb_error(minimum, error) from error
        self.atoms.positions += rng.normal(0.0, FIRST_PUSH_A, self.atoms.positions.shape)
        self.walk = ContourExploration(self.atoms, maxstep=config.max_step_A, energy_target=target, rng=rng)
        self._advance(CLIMB_STEPS)

    def next(self) -> Frame:
        """The next one in which no atoms come too near."""

        def draw() -> Frame:
            self._advance(self.config.steps_between)
            return self.minimum.moved(self.atoms.positions.copy(), origin={**self.origin, "step": self.step})

        return first_physical(
            draw,
            self.config.min_distance_factor,
            said=f"along the contour of {self.temperature_K:g} K",
            remedy="lower temperatures_K",
        )

    def _advance(self, steps: int) -> None:
        try:
            self.walk.run(steps)
        except FAILURES as error:
            raise xtb_error(self.minimum, error) from error
        self.step += steps


class _WithFreeEnergy(Calculator):
    """Says the energy under the name by which ASE's walk asks for it; tblite does not."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 (ASE's)

    def __init__(self, method: Calculator) -> None:
        super().__init__()
        self.method = method

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        energy = self.method.get_potential_energy(self.atoms)
        self.results = {"energy": energy, "free_energy": energy, "forces": self.method.get_forces(self.atoms)}


def modes(frame: Frame) -> int:
    """Coordinates that change the energy: all but translation and, of a molecule, rotation."""
    n = len(frame)
    if any(frame.pbc):
        return 3 * n - 3
    arms = frame.positions - frame.positions.mean(0)
    straight = n > 1 and np.linalg.matrix_rank(arms, tol=1e-3) == 1
    return max(3 * n - (5 if straight else 6), 0)
