"""One reader for each format, its refusal final, with the same checks on every way in."""

import gzip
import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixBondLength, FixCartesian

from potential.data.molecules import frame_of
from potential.data.notes import StructureWarning
from potential.data.structure_files import read_dataset, read_frames

HEAD = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1 pbc="T T T"'
ROWS = ["O 0 0 0 0 0 .1", "H 0.96 0 0 0 0 -.05", "H -.24 .93 0 0 0 -.05"]
GOOD = "\n".join(["3", HEAD, *ROWS])
CIF = """data_x
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_symmetry_equiv_pos_as_xyz
'x,y,z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""


def second(*rows: str, head: str = HEAD) -> str:
    return "\n".join([GOOD, "3", head, *rows]) + "\n"


DAMAGED = {
    "a row cut in the forces": (second(ROWS[0], ROWS[1], "H -.24 .93 0 0"), "structure 1: the row of atom 2"),
    "a row cut in the positions": (second(ROWS[0], ROWS[1], "H -.24"), "2 columns, expected 7"),
    "rows missing": (second(ROWS[0]), "structure 1 has 1 rows, and line 6 says 3 atoms"),
    "nothing but the count": (GOOD + "\n3\n", "structure 1 has 0 rows"),
    "stars in a force": (second("O 0 0 0 0 0 ******", *ROWS[1:]), "structure 1: atom 0 .* overflowed"),
    "stars in a position": (second("O 0 ****** 0 0 0 1", *ROWS[1:]), "structure 1: atom 0 .* overflowed"),
    "a lattice of 3": (
        second(*ROWS, head=HEAD.replace("9 0 0 0 9 0 0 0 9", "9 9 9")),
        "structure 1: Lattice",
    ),
    "a lattice of 6": (
        second(*ROWS, head=HEAD.replace("9 0 0 0 9 0 0 0 9", "9 9 9 90 90 90")),
        "expected 9 numbers",
    ),
    "a lattice in words": (
        second(*ROWS, head=HEAD.replace("9 0 0 0 9 0 0 0 9", "a b c d e f g h i")),
        "structure 1: Lattice",
    ),
    "another name for the lattice": (second(*ROWS, head=HEAD.replace("Lattice", "cell")), "cell= is not"),
    "deuterium": (second(ROWS[0], "D" + ROWS[1][1:], ROWS[2]), "species D is an isotope.*write H"),
    "tritium": (second(ROWS[0], "T" + ROWS[1][1:], ROWS[2]), "species T is an isotope"),
    "no element": (second(ROWS[0], "Qq" + ROWS[1][1:], ROWS[2]), "'Qq' is no chemical element"),
    "a column without a name": (second(*(row + " 1.0" for row in ROWS)), "8 columns, and 7 have a name"),
    "an empty line between": (GOOD + "\n\n" + GOOD + "\n", "line 6 is empty and line 7 goes on"),
    "text between": (GOOD + "\nmore\n" + GOOD + "\n", "line 6 is 'more', expected the number of atoms"),
}


@pytest.mark.parametrize("suffix", ["xyz", "extxyz", "xyz.gz", "txt"])
@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_xyz_is_refused_with_its_place(tmp_path, fault, suffix):
    text, message = DAMAGED[fault]
    path = tmp_path / f"f.{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    for read in (read_frames, lambda p: read_dataset(p, "x")):
        with pytest.raises(ValueError, match=f"f.{suffix}.*{'' if suffix == 'txt' else message}"):
            read(path)


def test_the_undamaged_file_is_read(tmp_path):
    (tmp_path / "f.xyz").write_text(GOOD + "\n" + GOOD.replace("0.96", "0.97") + "\n\n")
    frames = read_frames(tmp_path / "f.xyz")
    assert len(frames) == 2
    assert frames[1].pbc == (True, True, True)
    np.testing.assert_array_equal(frames[1].cell, 9 * np.eye(3))
    assert len(read_frames(tmp_path / "f.xyz", index="-1")) == 1


def test_columns_that_a_plain_xyz_does_not_name_are_told(tmp_path):
    (tmp_path / "f.xyz").write_text("1\nforces\nHe 0 0 0 1 2 3\n")
    with pytest.warns(StructureWarning, match="columns without a name are not read"):
        assert len(read_frames(tmp_path / "f.xyz")) == 1


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (["Na1 Na 0 0 0 0.5", "Cl1 Cl 0.5 0 0 1.0"], "partially occupied"),
        (["Cu1 Cu 0 0 0 0.6", "Au1 Au 0 0 0 0.4"], "partially occupied.*Au"),
        (["Cu1 Cu 0 0 0 0.0", "Au1 Au 0.5 0 0 1"], "partially occupied"),
        (["D1 D 0 0 0 1.0", "O1 O 0.2 0 0 1.0"], "mass 2.01.*isotopes"),
    ],
)
def test_a_cif_with_shared_sites_or_isotopes_is_refused(tmp_path, sites, message):
    (tmp_path / "a.cif").write_text(CIF + "\n".join(sites) + "\n")
    with pytest.raises(ValueError, match=message):
        read_frames(tmp_path / "a.cif")


def test_an_ordered_cif_is_read(tmp_path):
    (tmp_path / "a.cif").write_text(CIF + "Na1 Na 0 0 0 1.0\nCl1 Cl 0.5 0 0 1.0\n")
    assert read_frames(tmp_path / "a.cif")[0].formula == "ClNa"


def test_occupancies_as_a_column_are_looked_at():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]])
    atoms.set_array("occupancy", np.array([0.0, 0.0]))  # a column that nobody filled in
    assert frame_of(atoms).formula == "H2"
    atoms.set_array("occupancy", np.array([1.0, 0.5]))
    with pytest.raises(ValueError, match="partially occupied"):
        frame_of(atoms)


@pytest.mark.parametrize("unknown", ["?", "."])
def test_an_occupancy_that_nobody_knows_is_one(tmp_path, unknown):
    (tmp_path / "f.cif").write_text(CIF + f"Na1 Na 0 0 0 {unknown}\n")
    assert len(read_frames(tmp_path / "f.cif")[0]) == 1


@pytest.mark.parametrize(
    ("occupancy", "whole"), [("1.0", True), ("11.0", True), ("0.5", False), ("10.5", False)]
)
def test_occupancies_of_shelx_are_looked_at(tmp_path, occupancy, whole):
    header = "TITL x\nCELL 0.7 5 5 5 90 90 90\nZERR 4 0.001 0.001 0.001 0.5 0 0\nLATT -1\nSFAC Na\n"
    (tmp_path / "f.res").write_text(f"{header}Na 1 0 0 0 {occupancy}\nEND\n")
    if whole:
        assert len(read_frames(tmp_path / "f.res")[0]) == 1
    else:
        with pytest.raises(ValueError, match=rf"Na has the occupancy {occupancy}"):
            read_frames(tmp_path / "f.res")


def test_isotopes_are_refused_in_objects_too():
    from pymatgen.core import Molecule

    with pytest.raises(ValueError, match="isotopes"):
        frame_of(Molecule(["O", "D"], np.array([[0, 0, 0], [0, 0, 0.97]])))
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.97]], masses=[16.0, 2.014])
    with pytest.raises(ValueError, match=r"atom 1 \(H\) has the mass 2.014 amu"):
        frame_of(atoms)
    assert frame_of(Atoms("OH", positions=atoms.positions, masses=[15.9, 1.0])).formula == "HO"


POSCAR = (
    "slab\n1.0\n5 0 0\n0 5 0\n0 0 18\nCu\n2\nSelective dynamics\nCartesian\n0 0 4 {}\n2.5 2.5 5.8 T T T\n"
)


def test_selective_dynamics_are_kept_or_refused(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text(POSCAR.format("F F F"))
    assert read_frames(path)[0].fixed == (0,)
    path.write_text(POSCAR.format("T T T"))
    assert read_frames(path)[0].fixed == ()
    path.write_text(POSCAR.format("F F T"))
    with pytest.raises(ValueError, match=r"FixScaled holds atoms partly.*FixAtoms"):
        read_frames(path)


def test_constraints_of_objects_are_kept_or_refused():
    from pymatgen.core import Lattice, Structure

    atoms = Atoms("He3", positions=np.diag([0.0, 3.0, 6.0]))
    atoms.set_constraint([FixAtoms([2]), FixCartesian(0)])
    assert frame_of(atoms).fixed == (0, 2)
    for constraint in (FixCartesian(0, mask=(True, False, False)), FixBondLength(0, 1)):
        atoms.set_constraint(constraint)
        with pytest.raises(ValueError, match="holds atoms partly"):
            frame_of(atoms)
    flags = {"selective_dynamics": [[False] * 3, [True] * 3]}
    salt = Structure(Lattice.cubic(4), ["Na", "Cl"], np.array([[0, 0, 0], [0.5] * 3]), site_properties=flags)
    assert frame_of(salt).fixed == (0,)


@pytest.mark.parametrize("name", ["a.json", "a.xyz", "a.cif", "POSCAR", "a.traj", "a.sdf"])
def test_what_is_no_structure_is_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_text("hello\nthis is none\n")
    with pytest.raises(ValueError, match=name) as caught:
        read_frames(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_pickled_trajectories_are_not_opened(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    (tmp_path / "a.traj").write_bytes(b"PickleTrajectory" + pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="run code when it is read"):
        read_frames(tmp_path / "a.traj")


def test_an_at_sign_is_part_of_the_name(tmp_path):
    ase.io.write(tmp_path / "a.traj", Atoms("He"))
    (tmp_path / "a.traj").rename(tmp_path / "a@1.traj")
    assert len(read_frames(tmp_path / "a@1.traj")) == 1


def test_reading_says_nothing_where_nothing_is_to_be_said(tmp_path):
    (tmp_path / "f.xyz").write_text(GOOD + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_dataset(tmp_path / "f.xyz", "x")


SIZES = {
    "metres": ("2\n\nAr 0 0 0\nAr 1e12 0 0\n", r"1e\+12 Å wide.*check the units"),
    "far from everything": ("1\n\nAr 1e30 0 0\n", "as far from the origin"),
    "a cell in metres": (
        '1\nLattice="1e-6 0 0 0 1e-6 0 0 0 1e-6" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n',
        "1e-06 Å thin",
    ),
    "a cell that is a world": (
        '1\nLattice="1e9 0 0 0 1e9 0 0 0 1e9" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n',
        r"1e\+09 Å wide",
    ),
    "a sheared cell": (
        '1\nLattice="5 0 0 5 1e-3 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n',
        "Å thin",
    ),
}


@pytest.mark.parametrize("kind", SIZES)
def test_sizes_in_other_units_are_refused(tmp_path, kind):
    text, message = SIZES[kind]
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_frames(tmp_path / "a.xyz")


def test_wide_structures_that_exist_are_read(tmp_path):
    """A chain of 0.09 micrometres, a slab under vacuum, and an atom that has wandered through images."""
    (tmp_path / "a.xyz").write_text(
        "2\n\nAr 0 0 0\nAr 900 0 0\n"
        '1\nLattice="4 0 0 0 4 0 0 0 200" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 0 0 0\n'
        '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nAr 5000 0 0\n'
    )
    assert [len(frame) for frame in read_frames(tmp_path / "a.xyz")] == [2, 1, 1]


@pytest.mark.parametrize("length", ["-5.64", "-5.64(2)", "'-5.64'"])
def test_a_negative_lattice_parameter_is_refused(tmp_path, length):
    (tmp_path / "a.cif").write_text(CIF.replace("b 5.64", f"b {length}") + "Na1 Na 0 0 0 1\n")
    with pytest.raises(ValueError, match=r"positive.*_cell_length_b .?-5\.64"):
        read_frames(tmp_path / "a.cif")


@pytest.mark.parametrize("key", ["charge", "total_charge", "spin", "multiplicity"])
def test_a_list_is_no_charge_and_no_spin(tmp_path, key):
    (tmp_path / "a.xyz").write_text(f'1\nProperties=species:S:1:pos:R:3 {key}="1 2"\nAr 0 0 0\n')
    with pytest.raises(ValueError, match=rf"{key} is \[1, 2\], expected one integer"):
        read_frames(tmp_path / "a.xyz")
    (frame,) = read_frames(tmp_path / "a.xyz", charge=0, spin=0)
    assert (frame.charge, frame.spin) == (0, 0)


@pytest.mark.parametrize("written", ["{", "by hand"])
def test_another_programs_origin_is_kept(tmp_path, written):
    (tmp_path / "a.xyz").write_text(f'1\nProperties=species:S:1:pos:R:3 origin="{written}"\nAr 0 0 0\n')
    (frame,) = read_frames(tmp_path / "a.xyz")
    assert frame.origin == {"source": "a.xyz", "structure": 0, "said": written}


@pytest.mark.parametrize("line", ["1 3", "1,3", " 1 , 3 "])
def test_charge_and_multiplicity_of_gaussian_with_a_comma(tmp_path, line):
    atoms = "C 0.0 0.0 0.0\nO 0.0 0.0 1.2\nH 0.0 0.0 2.3"
    (tmp_path / "a.gjf").write_text(f"%chk=a.chk\n# HF/6-31G\n\ntitle 1,3\n\n{line}\n{atoms}\n\n")
    (frame,) = read_frames(tmp_path / "a.gjf")
    assert (frame.formula, frame.charge, frame.spin) == ("CHO", 1, 2)
