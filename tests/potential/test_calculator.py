"""The committee among ASE's calculators: copies, foreign functions, atoms that are lost."""

import copy
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from potential.calculator import Potential
from potential.evaluator import Evaluator
from potential.nequip.batch import Structures
from tests.support.systems import crystal, ethanol, model, water


@pytest.fixture(scope="module")
def calculator() -> Potential:
    return Potential(model([1, 6, 8, 13, 14, 29], r_max=3.5), card={"name": "test"})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("periodic", [False, True])
def test_atoms_that_are_nowhere_are_an_error(calculator, bad, periodic):
    atoms = Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [bad, 0, 0]], cell=[9, 9, 9], pbc=periodic)
    atoms.calc = calculator
    with pytest.raises(ValueError, match=r"atom 2 of Cu3 is at .*not finite.*smaller step"):
        atoms.get_potential_energy()


def test_a_cell_that_is_not_finite_is_an_error(calculator):
    atoms = bulk("Cu", cubic=True)
    atoms.cell[0, 0] = np.nan
    atoms.calc = calculator
    with pytest.raises(ValueError, match="the cell is not finite"):
        atoms.get_forces()


@pytest.mark.parametrize("cell", [[[1, 0, 0], [1, 0, 0], [0, 0, 1]], [1e-9, 1e-9, 1e-9], [0, 5, 5]])
def test_a_cell_without_volume_is_an_error(calculator, cell):
    atoms = Atoms("Cu", cell=cell, pbc=True)
    atoms.calc = calculator
    with pytest.raises(ValueError, match=r"has no volume.*set pbc to False"):
        atoms.get_forces()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_model_has_no_number_for_a_lost_replica_and_the_right_one_for_the_others(calculator, bad):
    evaluator = calculator.evaluator
    frames = [water(0), ethanol(1), water(2)]
    whole = evaluator(Structures.of(frames), stress=True)
    structures = Structures.of(frames)
    positions = structures.positions.clone()
    positions[4, 1] = bad  # of ethanol
    lost = evaluator(structures.at(positions), stress=True)
    ethanols = structures.structure == 1
    assert lost.energy[:, 1].isnan().all()
    assert lost.forces[:, ethanols].isnan().all()
    assert lost.stress is not None
    assert lost.stress[:, 1].isnan().all()
    torch.testing.assert_close(lost.energy[:, [0, 2]], whole.energy[:, [0, 2]])
    torch.testing.assert_close(lost.forces[:, ~ethanols], whole.forces[:, ~ethanols])
    alone = Structures.of([water(0).moved(np.full((3, 3), bad))])
    assert evaluator(alone).energy.isnan().all()


def test_finite_structures_get_the_same_numbers_bit_for_bit(calculator):
    structures = Structures.of([crystal()])
    evaluator = Evaluator(calculator.evaluator.model)
    first, second = evaluator(structures, stress=True), evaluator(structures, stress=True)
    assert torch.equal(first.energy, second.energy)
    assert first.energy.isfinite().all()


@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda atoms: pickle.loads(pickle.dumps(atoms)), copy.copy],  # noqa: S301
)
def test_copies_compute_the_same(calculator, again):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    copied = again(atoms)
    copied.calc = again(atoms.calc)
    assert copied.get_potential_energy() == energy
    copied.positions[0] += 0.1
    atoms.positions[0] += 0.1
    assert copied.get_potential_energy() == atoms.get_potential_energy() != energy
    assert not np.array_equal(copied.get_forces(), forces)
    assert copied.calc.card == {"name": "test"}


def test_ase_functions_take_the_results(calculator):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = calculator
    frozen_forces = atoms.get_forces()
    frozen = SinglePointCalculator(atoms, **atoms.calc.results)
    np.testing.assert_array_equal(frozen.get_forces(atoms), frozen_forces)
    assert atoms.get_properties(["energy", "forces"])["energy"] == atoms.get_potential_energy()
    assert "energy" in calculator.export_properties()
    results = atoms.calc.results
    assert results["force_disagreement"].shape == (4,)
    assert results.get("energy_disagreement") == results["energy_disagreement"] >= 0
    assert results.get("nothing", 7) == 7
    with pytest.raises(KeyError):
        results["nothing"]
    assert copy.deepcopy(results)["energy_disagreement"] == results["energy_disagreement"]


def test_fixed_atoms_stay_where_they_are(calculator):
    from ase import units
    from ase.md.langevin import Langevin

    frame = ethanol()
    atoms = frame.to_atoms()
    atoms.set_constraint(FixAtoms([0, 1]))
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    Langevin(atoms, 0.5 * units.fs, temperature_K=300, friction=0.02, rng=rng, fixcm=False).run(5)
    np.testing.assert_array_equal(atoms.positions[:2], frame.positions[:2])
    assert not np.array_equal(atoms.positions[2:], frame.positions[2:])
