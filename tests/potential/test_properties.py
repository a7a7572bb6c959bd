"""Minima, frequencies and scans of a committee, against closed answers and finite differences."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from potential.calculator import Potential
from potential.data.dataset import Dataset, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.model_config import ModelConfig
from potential.properties.frequencies import frequencies, normal_modes
from potential.properties.member import Member
from potential.properties.optimum import NotRelaxedError, optimise, relaxed
from potential.properties.scan import Coordinate, relative, scan
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig
from tests.support.systems import ethanol, model

SIGMA, EPSILON = 3.4, 0.0104
R0 = 2 ** (1 / 6) * SIGMA
STIFFNESS = 72 * EPSILON / (2 ** (1 / 3) * SIGMA**2)  # V''(r0) of Lennard-Jones
TRIMER = R0 * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, np.sqrt(0.75), 0.0]])


def per_cm(squared: float) -> float:
    """1/cm of omega^2 in eV/Angstrom^2/amu."""
    omega = np.sqrt(squared * units._e * 1e20 / units._amu)
    return float(omega / (2 * np.pi * units._c * 100))


@pytest.fixture(scope="module")
def argon(tmp_path_factory: pytest.TempPathFactory) -> Potential:
    """Three members that know the argon trimer well."""
    rng, level = np.random.default_rng(0), LennardJonesLevel(sigma_angstrom=SIGMA, epsilon_eV=EPSILON)
    frames = [Frame.of([18] * 3, TRIMER + rng.normal(0, 0.08, (3, 3))) for _ in range(30)]
    data = Dataset.of(LabelledFrame(frame=frame, label=compute(frame, level)) for frame in frames)
    trained = train_committee(
        data,
        Dataset.of([]),
        model=ModelConfig(num_layers=1, l_max=0, num_features=8, r_max=8.0, committee_size=3),
        training=TrainingConfig(max_epochs=160, dtype="float64"),
        seed=0,
        folder=tmp_path_factory.mktemp("argon"),
    )
    return Potential(trained.model)


def test_members_are_what_the_mean_is_made_of():
    calculator = Potential(model([1, 6, 8], members=3))
    atoms = ethanol().to_atoms()
    atoms.calc = calculator
    forces, energy = atoms.get_forces(), atoms.get_potential_energy()
    of_members = calculator.results["member_forces"]
    assert of_members.shape == (3, 9, 3)
    np.testing.assert_allclose(of_members.mean(0), forces, atol=1e-12)
    np.testing.assert_allclose(calculator.results["member_energies"].mean(), energy)
    atoms.calc = Member(calculator, 1)
    np.testing.assert_array_equal(atoms.get_forces(), of_members[1])
    steps = []
    for step in (1e-4, -1e-4):
        moved = atoms.copy()
        moved.positions[4, 1] += step
        moved.calc = Member(calculator, 1)
        steps.append(moved.get_potential_energy())
    assert atoms.get_forces()[4, 1] == pytest.approx(-(steps[0] - steps[1]) / 2e-4, abs=1e-5)
    with pytest.raises(ValueError, match="member 3 of 3; expected 0 to 2"):
        Member(calculator, 3)


@pytest.mark.parametrize(
    ("atoms", "squared"),
    [  # in k/m: a dimer stretches; an equilateral trimer has a doublet and breathes
        (Atoms("Ar2", TRIMER[:2]), [2.0]),
        (Atoms("Ar3", TRIMER), [1.5, 1.5, 3.0]),
    ],
)
def test_frequencies_have_the_closed_form(atoms, squared):
    atoms.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=1000.0)
    modes = normal_modes(atoms, 0.001)
    expected = [per_cm(s * STIFFNESS / atoms.get_masses()[0]) for s in squared]
    np.testing.assert_allclose(modes.wavenumbers, expected, rtol=1e-3)
    np.testing.assert_allclose(modes.vectors @ modes.vectors.T, np.eye(len(squared)), atol=1e-10)


def test_a_held_atom_takes_no_part():
    atoms = Atoms("Ar2", TRIMER[:2], constraint=FixAtoms([0]))
    atoms.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=1000.0)
    modes = normal_modes(atoms, 0.001)
    assert modes.vectors.shape == (3, 3)
    assert modes.wavenumbers[-1] == pytest.approx(per_cm(STIFFNESS / atoms.get_masses()[0]), rel=1e-3)


def test_a_trained_committee_finds_the_minimum_and_its_modes(argon: Potential):
    start = Frame.of([18] * 3, TRIMER * 1.03)
    found = optimise(argon, start)
    assert found.max_force <= 0.005
    distances = [found.atoms.get_distance(i, j) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(distances, R0, atol=0.02)
    assert len(found.of_members) == 3
    modes = frequencies(argon, start)
    expected = [per_cm(s * STIFFNESS / 39.948) for s in (1.5, 1.5, 3.0)]
    np.testing.assert_allclose(modes.modes.wavenumbers, expected, rtol=0.15)
    assert modes.of_members.shape == (3, 3)
    np.testing.assert_allclose(modes.disagreement, modes.of_members.std(axis=0, ddof=1))
    assert 0 < modes.zero_point_energy < 0.02


def test_what_does_not_relax_is_told(argon: Potential):
    with pytest.raises(NotRelaxedError, match="Ar3 is not relaxed after 1 steps"):
        relaxed(Atoms("Ar3", TRIMER * 1.1), argon, max_force=1e-6, max_steps=1)


def test_a_scan_says_what_each_point_is_and_how_sure(argon: Potential):
    points = list(scan(argon, Frame.of([18] * 3, TRIMER), Coordinate(atoms=(0, 1)), [3.6, 3.9, 4.5]))
    np.testing.assert_allclose([point.value for point in points], [3.6, 3.9, 4.5])
    energies, spread = relative(points)
    assert energies.argmin() == 1
    assert spread is not None
    assert spread[1] == 0  # the lowest point is the reference of each member
    assert spread[2] > 0
    still = points[0].atoms.get_distance(0, 2)
    assert still == pytest.approx(R0)  # rigid: atom 1 moved alone


def test_the_rest_relaxes_where_it_is_asked_to(argon: Potential):
    trimer, bond = Frame.of([18] * 3, TRIMER), Coordinate(atoms=(0, 1))
    (point,) = scan(argon, trimer, bond, [4.1], relax=True, max_force=1e-4)
    assert point.value == pytest.approx(4.1, abs=1e-4)
    rigid = TRIMER.copy()
    rigid[1, 0] = 4.1
    assert point.energy < Potential(argon.evaluator.model).get_potential_energy(Atoms("Ar3", rigid))


def test_parts_move_as_a_whole():
    atoms = molecule("CH3CH2OH")  # C, C (with O), O, its H, then the hydrogens of C1 and of C0
    before = atoms.copy()
    Coordinate(atoms=(1, 2)).set(atoms, 1.8)
    assert atoms.get_distance(1, 2) == pytest.approx(1.8)
    assert atoms.get_distance(2, 3) == pytest.approx(before.get_distance(2, 3))
    Coordinate(atoms=(0, 1, 2, 3)).set(atoms, 60.0)
    assert atoms.get_dihedral(0, 1, 2, 3) == pytest.approx(60.0)
    Coordinate(atoms=(0, 1, 2)).set(atoms, 100.0)
    assert atoms.get_angle(0, 1, 2) == pytest.approx(100.0)
    np.testing.assert_allclose(atoms.get_distance(2, 3), before.get_distance(2, 3))


@pytest.mark.parametrize("atoms", [(0,), (0, 0), (0, 1, 2, 3, 4)])
def test_what_is_no_coordinate_is_refused(atoms: tuple[int, ...]):
    with pytest.raises(ValueError, match="give two for a distance"):
        Coordinate(atoms=atoms)


def test_atoms_that_are_not_there_are_named(argon: Potential, tmp_path: Path):
    with pytest.raises(ValueError, match="counted from 0 to 2"):
        next(scan(argon, Frame.of([18] * 3, TRIMER), Coordinate(atoms=(0, 7)), [3.0]))
