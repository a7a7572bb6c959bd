import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule as ase_molecule
from ase.collections import g2
from ase.data import covalent_radii

from potential.data.molecules import COMMON_NAMES, frame_of, molecule
from potential.data.plausibility import check_frame, closest_pair


@pytest.mark.parametrize("name", [*COMMON_NAMES, *g2.names])
def test_every_named_molecule_is_physical(name):
    frame = molecule(name)  # checks overlap and spin itself
    pair = closest_pair(frame)
    assert pair is None or pair.ratio > 0.75


@pytest.mark.parametrize(
    ("name", "charge", "spin"),
    [
        ("O2", 0, 2),
        ("NO", 0, 1),
        ("CH2_s3B1d", 0, 2),
        ("CH2_s1A1d", 0, 0),
        ("O2", 1, 1),
        ("H2O", -1, 1),
        ("H", 1, 0),
    ],
)
def test_default_spin(name, charge, spin):
    assert molecule(name, charge=charge).spin == spin


def test_common_and_case_insensitive_names():
    assert molecule("ethanol") == molecule("CH3CH2OH") == molecule("ch3ch2oh")
    assert molecule("ethanol").formula == "C2H6O"


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(ValueError, match=r"no molecule named 'etanol'.*near: ethanol"):
        molecule("etanol")


def test_an_impossible_spin_is_refused_with_possible_ones():
    with pytest.raises(ValueError, match=r"spin 1 is impossible for H2O.*10 electrons.*spin: 0 or 2"):
        molecule("H2O", spin=1)


def test_frame_of_atoms_reads_charge_and_spin():
    atoms = ase_molecule("O2")
    assert frame_of(atoms).spin == 2
    assert frame_of(atoms, spin=0).spin == 0
    atoms = ase_molecule("OH")
    atoms.set_initial_charges([-1.0, 0.0])
    assert (frame_of(atoms).charge, frame_of(atoms).spin) == (-1, 0)
    atoms.info.update(charge=1.0, multiplicity=3)
    assert (frame_of(atoms).charge, frame_of(atoms).spin) == (1, 2)
    atoms.info["charge"] = 0.4
    with pytest.raises(ValueError, match=r"charge is 0\.4, expected an integer"):
        frame_of(atoms)


def test_frame_of_pymatgen_objects():
    from pymatgen.core import Lattice, Molecule, Structure

    positions = np.array([[0, 0, 0], [0, 0, 1.21]])
    triplet = frame_of(Molecule(["O", "O"], positions, spin_multiplicity=3))
    assert (triplet.formula, triplet.charge, triplet.spin, triplet.pbc) == ("O2", 0, 2, (False,) * 3)
    cation = frame_of(Molecule(["O", "O"], positions, charge=1))
    assert (cation.charge, cation.spin) == (1, 1)
    lattice = Lattice.from_parameters(4, 5, 6, 90, 100, 90)
    salt = frame_of(Structure(lattice, ["Na+", "Cl-"], np.array([[0, 0, 0], [0.5] * 3])))
    assert (salt.formula, salt.charge, salt.pbc) == ("ClNa", 0, (True,) * 3)
    np.testing.assert_allclose(salt.cell, lattice.matrix, atol=1e-8)
    np.testing.assert_allclose(salt.positions[1], lattice.matrix.sum(0) / 2, atol=1e-8)
    with pytest.raises(ValueError, match="partially occupied"):
        frame_of(Structure(lattice, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]))


def test_check_names_the_closest_pair_across_the_cell_boundary():
    atoms = Atoms("C2", positions=[[0.1, 0, 0], [9.8, 0, 0]], cell=[10, 10, 10], pbc=True)
    with pytest.raises(ValueError, match=r"C0-C1 0\.300 Å"):
        check_frame(frame_of(atoms))
    atoms.pbc = False
    check_frame(frame_of(atoms))
    with pytest.raises(ValueError, match=r"Cu0-Cu0 \(its periodic image\) 1\.000 Å"):
        check_frame(frame_of(Atoms("Cu", cell=[5, 5, 1], pbc=[False, False, True])))


def test_closest_pair_of_a_slab_without_third_vector_agrees_with_ase():
    from ase.build import fcc111

    slab = fcc111("Cu", (2, 2, 3))
    slab.rattle(0.1, seed=3)
    distances = slab.get_all_distances(mic=True)
    pair = closest_pair(frame_of(slab))
    assert pair is not None
    assert pair.distance == pytest.approx(distances[distances > 0].min(), abs=1e-7)


@pytest.mark.parametrize("pbc", [False, True, [True, False, False], [False, True, True]])
def test_closest_pair_is_the_smallest_of_all_distances(pbc):
    rng = np.random.default_rng(5)
    cell = np.diag([7.0, 8.0, 9.0]) + rng.normal(0, 0.5, (3, 3))
    for _ in range(20):
        atoms = Atoms("C8O4", positions=rng.normal(50, 5, (12, 3)), cell=cell, pbc=pbc)
        radii = covalent_radii[atoms.numbers]
        ratios = atoms.get_all_distances(mic=True) / (radii[:, None] + radii)
        expected = ratios[~np.eye(12, dtype=bool)].min()
        pair = closest_pair(frame_of(atoms))
        assert (1.0 if pair is None else pair.ratio) == pytest.approx(min(expected, 1.0), abs=1e-6)


def test_structures_are_read_without_torch():
    code = "import sys, potential.data.structure_files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "has no atoms"),
        (Atoms("X", positions=[[0, 0, 0]]), r"atomic numbers \[0\] are no elements"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, np.inf]]), "not finite"),
        (Atoms("H", pbc=True), "do not span it"),
        (Atoms("H", info={"charge": 2}), r"charge \+2 takes more electrons than H has \(1\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_impossible_structures_are_refused(atoms, message):
    with pytest.raises(ValueError, match=message):
        check_frame(frame_of(atoms))
