"""What ASE's readers pass over: other units, types without elements, flags, keys in other spellings."""

import time

import ase.db
import pytest
from ase.build import molecule

from potential.data.notes import StructureWarning
from potential.data.passed_over import refuse_by_text
from potential.data.structure_files import read_dataset, read_frames, write_frames

CELL = "c\n1.0\n5.4 0 0\n0 5.4 0\n0 0 5.4\n"
CIF = """data_x
_cell_length_a 5.43
_cell_length_b 5.43
_cell_length_c 5.43
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si .125 .125 .125
"""
DATA = "LAMMPS, units = {}\n\n2 atoms\n\n0 5.64 xlo xhi\n0 5.64 ylo yhi\n0 5.64 zlo zhi\n{}"
ROWS = "\nAtoms # atomic\n\n1 1 0 0 0\n2 2 2.82 0 0\n"
MASSES = "\nMasses\n\n1 22.98976928\n2 35.45\n"
DUMP = (
    "{}ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 6\n0 6\n0 6\n"
    "ITEM: ATOMS id {} x y z fx fy fz\n1 {} 0 0 0 0 0 1\n2 {} 3 0 0 0 0 -1\n"
)
GAUSSIAN = "#p b3lyp/6-31g(d) {}\n\nt\n\n0 3\nO{} 0.0 0.0 0.0\nO 0.0 0.0 1.2\n\n"
SDF = "\n{:22}\n\n  2  0  0  0  0  0  0  0  0  0999 V2000\n{}M  END\n"
ATOM = "    {:6.4f}    0.0000    {:6.4f} {:3} 0  0\n"
XYZ = '2\nLattice="5.4 0 0 0 5.4 0 0 0 5.4" Properties=species:S:1:pos:R:3{} {}\n{}'
SI2 = "Si 0 0 0\nSi 1.35 1.35 1.35\n"
PDB = "ATOM      {0}  C  {1}ALA A   1       {2}.000   0.000   0.000  1.00  0.00           C  \n"
ABINIT = "acell 5.4 5.4 5.4 Angstrom\nntypat 1\nznucl 14\nnatom 2\ntypat 1 1\n"
REFUSED = {
    "types.lammps-data": (DATA.format("metal", ROWS), "no element.*Masses"),
    "types.data": (DATA.format("metal", ROWS), "no element.*Masses"),
    "lj.lammps-data": (DATA.format("lj", MASSES + ROWS), "units are others"),
    "types.lammpstrj": (DUMP.format("", "type", 1, 2), "no element.*dump the column"),
    "si.lammpstrj": (DUMP.format("ITEM: UNITS\nsi\n", "element", "O", "O"), "units are others"),
    "bohr.gjf": (GAUSSIAN.format("opt\n units=(au,deg)", ""), "in Bohr"),
    "jobs.com": (GAUSSIAN.format("", "") + "--Link1--\n" + GAUSSIAN.format("", ""), "several jobs"),
    "isotope.com": (GAUSSIAN.format("", "(Iso=18)"), "isotopes"),
    "angstrom/coord": ("$coord angs\n 0. 0. 0. o\n 0. 0. 1.2 o\n$end\n", "not in Bohr"),
    "more.vasp": (CELL + "Si\n1\nDirect\n0 0 0\n.25 .25 .25\n", "counts 1 atoms, and goes on with"),
    "origin.cif": (CIF.format("_symmetry_Int_Tables_number 227"), "two settings"),
    "places.pdb": (PDB.format(1, "A", 0) + PDB.format(2, "B", 1), "alternate locations"),
    "element.pdb": (PDB.format(1, " ", 0).replace(" C  ", " CA ", 1)[:66] + "\n", "have no element"),
    "angstrom.abi": (ABINIT + "xcart 0 0 0 1.35 1.35 1.35 Angstrom\n", "xcart is not in Bohr"),
    "held.abi": (ABINIT + "xred 0 0 0 .25 .25 .25\nnatfix 1 iatfix 2\n", "holds atoms .`natfix 1`"),
    "held.nwi": ("geometry\n O 0 0 0\nend\nset geometry:actlist 2:3\n", "holds atoms"),
    "drawing.sdf": (
        SDF.format(" " * 20 + "2D", ATOM.format(0, 0, "O") + ATOM.format(1, 0, "C")),
        r"a drawing \(2D\)",
    ),
    "star.sdf": (SDF.format("", ATOM.format(0, 0, "O") + ATOM.format(1, 0, "*")), r"'\*' is no chemical"),
    "unknown.mol2": ("@<TRIPOS>MOLECULE\n", "neither its name nor its content"),
    "pbc_lower.xyz": (XYZ.format("", 'pbc="t t f"', SI2), "pbc is 't t f'"),
    "pbc_word.xyz": (XYZ.format("", "pbc=xy", SI2), "pbc is 'xy'"),
    "PBC.xyz": (XYZ.format("", 'PBC="T T F"', SI2), "PBC= is not read.*write pbc="),
    "twice.xyz": (XYZ.format("", "charge=-1 charge=0", SI2), "charge is given twice"),
    "flag.xyz": (XYZ.format("", "charge", SI2), "charge is True, expected an integer"),
    "bohr.xyz": (XYZ.format("", "length_unit=bohr", SI2), "length_unit says 'bohr'"),
    "underscore.xyz": (XYZ.format("", "", SI2.replace("0 0 0", "0 0 0_96")), "'0_96', expected a number"),
    "fractions.xyz": (XYZ.replace("pos", "frac").format("", "", SI2), "no column pos:R:3"),
    "species.xyz": (
        XYZ.format(":Z:I:1", "", "Si 0 0 0 14\nSi 1 1 1 6\n"),
        "atom 1 is Si by its symbol and C by its number",
    ),
    "isotope.xyz": (XYZ.format(":mass:R:1", "", "H 0 0 0 2.014\nH 0 0 1 0\n"), "mass 2.014 amu"),
    "movable.xyz": (XYZ.format(":movable:L:1", "", "H 0 0 0 F\nH 0 0 1 T\n"), "column movable is not read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_ase_would_get_wrong_is_refused(tmp_path, name):
    text, message = REFUSED[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        read_frames(path)
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


def test_what_is_like_them_and_sound_is_read(tmp_path):
    for name, text, formula in (
        ("a.data", DATA.format("real", MASSES + ROWS), "ClNa"),
        ("a.lammpstrj", DUMP.format("", "element", "Na", "Cl"), "ClNa"),
        ("a.cif", CIF.format("_symmetry_space_group_name_H-M 'P 1'"), "Si"),
        ("a.vasp", CELL + "Si\n1\nDirect\n0 0 0\n\n 0.1 0 0\n", "Si"),
        ("a.pdb", (PDB.format(1, "A", 0) + PDB.format(2, "A", 1)).replace(" C  A", " CA A"), "C2"),
    ):
        (tmp_path / name).write_text(text)
        assert [frame.formula for frame in read_frames(tmp_path / name)] == [formula], name


@pytest.mark.parametrize("no", ["F F F", "f f f", ".FALSE. .FALSE. .FALSE.", "False .F. .f."])
def test_every_spelling_of_a_flag_holds_the_atom(tmp_path, no):
    path = tmp_path / "a.vasp"
    path.write_text(CELL + f"Si\n2\nSelective dynamics\nDirect\n0 0 0 T .true. t\n.25 .25 .25 {no}\n")
    assert read_frames(path)[0].fixed == (1,)


def test_the_charge_that_a_database_has_as_a_key_is_read(tmp_path):
    for name in ("a.db", "a.json"):
        with ase.db.connect(tmp_path / name) as database:
            database.write(molecule("OH"), charge=-1, name="x")
        (frame,) = read_frames(tmp_path / name)
        assert (frame.charge, frame.spin, frame.info) == (-1, 0, {"name": "x"})


def test_forces_of_a_dump_are_no_labels(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text(DUMP.format("", "element", "Na", "Cl"))
    with pytest.raises(ValueError, match="no energy"):
        read_dataset(path, "x")


@pytest.mark.parametrize(
    ("head", "rows", "told"),
    [
        ("Properties=species:S:1:pos:R:3:charge:R:1", "O 0 0 0 -.9\nH 0 0 1 -.1\n", "write charge=-1"),
        ("Properties=species:S:1:pos:R:3:spin:R:1", "O 0 0 0 1\nO 0 0 1.2 1\n", "write spin=2"),
        ('fixed_atoms="0 1"', "O 0 0 0\nH 0 0 1\n", "fixed_atoms is not read"),
        ("positions in Bohr", "O 0 0 0\nH 0 0 1\n", "positions are read in Å"),
    ],
)
def test_what_is_left_alone_is_told(tmp_path, head, rows, told):
    path = tmp_path / "a.xyz"
    path.write_text(f"2\n{head}\n{rows}")
    with pytest.warns(StructureWarning, match=told):
        read_frames(path)


def test_names_stay_as_they_are_written(tmp_path):
    names = {
        "my_id": "007",
        "name": "1e5",
        "label": "nan",
        "key": "1_000",
        "tag": "0x10",
        "config_type": "True",
        "run_id": "inf",
        "hash": "NULL",
        "f": "0012",
    }
    path = tmp_path / "a.xyz"
    said = " ".join(f"{key}={value}" for key, value in names.items())
    path.write_text(f'2\nProperties=species:S:1:pos:R:3 {said} id="  x " n=3 x=1e5\nO 0 0 0\nH 0 0 1\n')
    (frame,) = read_frames(path)
    assert frame.info == {**names, "id": "  x ", "n": 3, "x": 1e5}
    write_frames(tmp_path / "b.xyz", [frame])
    assert read_frames(tmp_path / "b.xyz")[0].info == frame.info


def test_long_files_are_searched_in_no_time() -> None:
    """Blank lines, one alternate location everywhere, a route without an end."""
    atoms = "".join(PDB.format(k % 10, "A", k % 9) for k in range(20_000))
    began = time.perf_counter()
    for kind, text in (
        ("proteindatabank", atoms),
        ("cif", "data_x\n" + "\n" * 20_000),
        ("gaussian-in", "# units\n" * 200 + "#" * 20_000 + "\n" * 20_000),
        ("nwchem-in", "\n" * 20_000),
    ):
        refuse_by_text(text, kind)
    with pytest.raises(ValueError, match="no element"):
        refuse_by_text("LAMMPS\n" + "\n" * 20_000, "lammps-data")
    assert time.perf_counter() - began < 5.0
