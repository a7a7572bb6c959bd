import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Octahedron

from labeling.attempt import attempt
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from potential.data.dataset import Label
from potential.data.frame import Frame

ARGON = LennardJonesLevel()


def rattled(periodic: bool) -> Frame:
    atoms = (
        bulk("Ar", "fcc", a=5.3, cubic=True) * (1, 1, 2)
        if periodic
        else Octahedron("Ar", 3, latticeconstant=5.3)
    )
    atoms.rattle(0.1, seed=3)
    return Frame.from_atoms(atoms)


def test_a_pair_at_the_minimum_has_the_depth_of_the_well() -> None:
    distance = 2 ** (1 / 6) * ARGON.sigma_angstrom
    label = compute(Frame.of([18, 18], [[0, 0, 0], [0, 0, distance]]), ARGON)
    assert label.energy == pytest.approx(-ARGON.epsilon_eV, rel=1e-6)
    assert np.abs(label.forces).max() < 1e-9
    assert label.stress is None


@pytest.mark.physics
@pytest.mark.parametrize("periodic", [False, True])
def test_forces_are_the_derivative_of_the_energy(periodic: bool) -> None:
    frame, step = rattled(periodic), 1e-5
    label = compute(frame, ARGON)
    for atom, axis in [(0, 0), (3, 1), (5, 2)]:
        energies = []
        for sign in (1, -1):
            positions = frame.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(compute(frame.moved(positions), ARGON).energy)
        assert label.forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)
    assert np.abs(label.forces.sum(axis=0)).max() < 1e-12


@pytest.mark.physics
def test_stress_is_the_derivative_of_the_energy_by_strain() -> None:
    frame, step = rattled(periodic=True), 1e-5
    stress = compute(frame, ARGON).stress
    assert stress is not None
    for i, j in [(0, 0), (1, 2)]:
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            energies.append(
                compute(frame.moved(frame.positions @ strain, cell=frame.cell @ strain), ARGON).energy
            )
        volume = abs(np.linalg.det(frame.cell))
        assert stress[i, j] == pytest.approx((energies[0] - energies[1]) / (2 * step) / volume, abs=1e-6)


@pytest.mark.physics
def test_energy_and_force_go_smoothly_to_zero_at_the_cutoff() -> None:
    def pair(distance: float) -> Label:
        return compute(Frame.of([18, 18], [[0, 0, 0], [0, 0, distance]]), ARGON)

    inside, outside = pair(ARGON.cutoff_angstrom - 1e-4), pair(ARGON.cutoff_angstrom + 1e-4)
    assert abs(inside.energy - outside.energy) < 1e-9
    assert np.abs(inside.forces - outside.forces).max() < 1e-7


def test_overlapping_atoms_are_no_label() -> None:
    outcome = attempt(Frame.of([18, 18], [[0, 0, 0], [0, 0, 0.5]]), ARGON)
    assert not isinstance(outcome, Label)
    assert outcome.kind == "rejected_by_check"
    assert "max_force" in outcome.message
