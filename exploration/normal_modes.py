"""Frames along the normal modes of GFN2-xTB, as heat would displace them in a harmonic well.

A mode of angular frequency w has the mass-weighted amplitude q ~ N(0, kT / w^2) (classical), and atom i of
mass m_i moves by the sum over the modes of q e_i / sqrt(m_i). As in ANI's normal mode sampling (Smith,
Isayev and Roitberg, Chem. Sci. 8, 3192 (2017), section 2.3), with Boltzmann amplitudes.

Modes below `SOFTEST_PER_CM` (torsions, mostly) count as that stiff: a long straight step is no rotation
about a bond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import units
from jaxtyping import Float64

from exploration.draws import first_physical
from exploration.frame_sources import NormalModes
from exploration.held import refuse_fixed_atoms
from exploration.xtb import FAILURES, few_threads, gfn2_xtb, minimum_by_xtb, xtb_error
from potential.data.frame import Frame

STEP_A = 0.01
"""Of the finite differences of the forces."""
SOFTEST_PER_CM = 100.0
HBAR = units._hbar * units.J * units.second
"""In eV Angstrom sqrt(amu / eV)."""


def normal_mode_frames(start: Sequence[Frame], config: NormalModes, seed: int) -> Iterator[Frame]:
    """Draws without end: starts and temperatures in turn; those in which atoms come too near are left out.

    Raises:
        ValueError: for fixed atoms, where GFN2-xTB cannot treat a start, or where no draw is physical.
        ImportError: where `tblite` is not installed.
    """
    refuse_fixed_atoms(start)
    with few_threads(start):
        wells = [_well(frame) for frame in start]
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        minimum, spread = wells[number % len(wells)]
        temperature_K = config.temperatures_K[number // len(wells) % len(config.temperatures_K)]
        origin: dict[str, object] = {
            "method": config.method,
            "temperature_K": temperature_K,
            "draw": number,
            "seed": seed,
        }
        yield _draw(minimum, spread, temperature_K, config, rng, origin)
        number += 1


def _draw(
    minimum: Frame,
    spread: Float64[np.ndarray, "modes coordinates"],
    temperature_K: float,
    config: NormalModes,
    rng: np.random.Generator,
    origin: dict[str, object],
) -> Frame:
    def draw() -> Frame:
        q = rng.normal(size=len(spread)) * np.sqrt(units.kB * temperature_K)
        return minimum.moved(minimum.positions + (q @ spread).reshape(-1, 3), origin=origin)

    return first_physical(
        draw,
        config.min_distance_factor,
        said=f"at {temperature_K:g} K",
        remedy="lower temperatures_K",
    )


def _well(frame: Frame) -> tuple[Frame, Float64[np.ndarray, "modes coordinates"]]:
    """The nearest minimum, and Angstrom per sqrt(eV) along each mode."""
    minimum = minimum_by_xtb(frame)
    try:
        hessian = _hessian(minimum)
    except FAILURES as error:
        raise xtb_error(minimum, error) from error
    root_mass = np.sqrt(np.repeat(minimum.to_atoms().get_masses(), 3))
    within = _internal(minimum, root_mass)
    weighted = within.T @ (hessian / np.outer(root_mass, root_mass)) @ within
    squares, modes = np.linalg.eigh(weighted)  # w^2 in eV / (Angstrom^2 amu)
    softest = (SOFTEST_PER_CM * units.invcm / HBAR) ** 2
    stiffness = np.sqrt(np.maximum(np.abs(squares), softest))
    return minimum, (within @ modes / stiffness).T / root_mass


def _hessian(frame: Frame) -> Float64[np.ndarray, "coordinates coordinates"]:
    """Second derivatives of the energy in eV/Angstrom^2, by central differences of the forces."""
    atoms = frame.to_atoms()
    atoms.calc = gfn2_xtb(frame)
    rows = []
    for i in range(3 * len(atoms)):
        slopes = []
        for step in (-STEP_A, STEP_A):
            displaced = frame.positions.copy()
            displaced.flat[i] += step
            atoms.positions = displaced
            slopes.append(-atoms.get_forces().ravel())
        rows.append((slopes[1] - slopes[0]) / (2 * STEP_A))
    hessian = np.array(rows, dtype=np.float64)
    symmetric: Float64[np.ndarray, "coordinates coordinates"] = (hessian + hessian.T) / 2
    return symmetric


def _internal(
    frame: Frame, root_mass: Float64[np.ndarray, "coordinates"]
) -> Float64[np.ndarray, "coordinates internal"]:
    """A basis of mass-weighted displacements without translation and, in free space, rotation."""
    masses = root_mass[::3] ** 2
    arms = frame.positions - masses @ frame.positions / masses.sum()
    axes = np.eye(3)
    outer = [np.tile(axis, (len(masses), 1)) for axis in axes]
    if not any(frame.pbc):
        outer += [np.cross(axis, arms) for axis in axes]
    weighted = np.array([motion.ravel() * root_mass for motion in outer]).T
    basis, sizes, _ = np.linalg.svd(weighted, full_matrices=True)
    return basis[:, int((sizes > 1e-6 * sizes[0]).sum()) :]
