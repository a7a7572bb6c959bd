"""Charge and spin, however a file spells them."""

import numpy as np
import pytest
from ase import Atoms

from potential.data.molecules import frame_of
from potential.data.notes import StructureWarning
from potential.data.structure_files import read_frames, write_frames

HYDROXIDE = "2\n{}\nO 0 0 0\nH 0.97 0 0\n"
GJF = "%chk=oh.chk\n#P PBEPBE/def2SVP Force\n\nhydroxide\n\n{}\nO 0.0 0.0 0.0\nH 0.97 0.0 0.0\n\n"
MOL = """hydroxide
  own

  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  {}  0  0  0  0
    0.9700    0.0000    0.0000 H   0  0  0  0  0  0
  1  2  1  0  0  0  0
{}M  END
"""


@pytest.mark.filterwarnings("ignore::potential.data.notes.StructureWarning")
@pytest.mark.parametrize(
    "comment",
    [
        "total_charge=-1 total_spin=1",
        "total_charge=-1 total_spin=0",
        "charge=-1",
        "Charge=-1 Multiplicity=1",
        "CHARGE=-1.0 spin=0",
        "net_charge=-1",
        "tot_charge=-1 spin_multiplicity=1",
        'TotalCharge="-1"',
        "molecular-charge=-1",
        "charge=1-",
        "q = -1 | MND = 7",
        "charge -1 multiplicity 1",
        "Total charge: -1, mult 1",
        "hydroxide, charge = -1",
        "-1 1",
        "charge=-1 total_charge=-1 uhf=0",
        "chrg=-1",
        "ICHARG=-1 mult=1",
        "-1,1",
        "$chrg -1",
        "net charge of -1",
        '{"charge": -1, "multiplicity": 1}',
    ],
)
def test_spellings_of_hydroxide(tmp_path, comment):
    (tmp_path / "f.xyz").write_text(HYDROXIDE.format(comment))
    (frame,) = read_frames(tmp_path / "f.xyz")
    assert (frame.charge, frame.spin) == (-1, 0)
    write_frames(tmp_path / "g.extxyz", [frame])
    assert read_frames(tmp_path / "g.extxyz")[0].id == frame.id


@pytest.mark.parametrize(
    "comment", ["", "a radical", "0 2", "12 300", "frame 3", "charge", "multiplicity=2", "spin=1"]
)
def test_what_is_said_of_the_radical(tmp_path, comment):
    (tmp_path / "f.xyz").write_text(HYDROXIDE.format(comment))
    (frame,) = read_frames(tmp_path / "f.xyz")
    assert (frame.charge, frame.spin) == (0, 1)


@pytest.mark.filterwarnings("ignore::potential.data.notes.StructureWarning")
@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("charge=-1 total_charge=0", r"contradicts itself about the charge: charge says -1, total_charge"),
        ("charge=-1 spin=0 multiplicity=3", r"about the spin: spin says \+0, multiplicity says \+2"),
        ("charge=-1 spin=1", r"spin is 1, which 10 electrons cannot have.*multiplicity=1"),
        ("total_charge=-0.5", "total_charge is -0.5, expected an integer"),
        ("charge=nan", "charge is nan"),
        ("charge=inf", "charge is inf"),
        ("charge=minus", "charge is minus"),
        ("charge: -1 charge: 0", "contradicts itself"),
    ],
)
def test_contradictions_and_nonsense_are_refused(tmp_path, comment, message):
    (tmp_path / "f.xyz").write_text(HYDROXIDE.format(comment))
    with pytest.raises(ValueError, match=f"structure 0: .*{message}"):
        read_frames(tmp_path / "f.xyz")
    assert read_frames(tmp_path / "f.xyz", charge=0, spin=1)[0].charge == 0


def test_what_is_understood_from_a_comment_or_left_alone_is_told(tmp_path):
    (tmp_path / "f.xyz").write_text(HYDROXIDE.format("charge -1"))
    with pytest.warns(StructureWarning, match=r"f\.xyz: read charge -1 from the comment 'charge -1'"):
        read_frames(tmp_path / "f.xyz")
    (tmp_path / "f.xyz").write_text(HYDROXIDE.format("sum_of_charges=-1"))
    with pytest.warns(StructureWarning, match="sum_of_charges=-1 is not read as the total charge"):
        assert read_frames(tmp_path / "f.xyz")[0].charge == 0


@pytest.mark.parametrize(("line", "expected"), [("-1 1", (-1, 0)), ("0 2", (0, 1)), ("-1 3", (-1, 2))])
def test_gaussian_input(tmp_path, line, expected):
    for name in ("f.gjf", "f.com"):
        (tmp_path / name).write_text(GJF.format(line))
        (frame,) = read_frames(tmp_path / name)
        assert (frame.charge, frame.spin) == expected


@pytest.mark.parametrize(
    ("code", "properties", "expected"),
    [
        (0, "M  CHG  1   1  -1\n", (-1, 0)),
        (5, "", (-1, 0)),
        (5, "M  CHG  1   1  -1\n", (-1, 0)),
        (0, "", (0, 1)),
        (4, "", (0, 1)),
        (0, "M  RAD  1   1   2\n", (0, 1)),
        (5, "M  CHG  2   1   2   2  -1\n", (1, 0)),  # the line replaces the code
        (3, "", (1, 0)),
    ],
)
def test_mol_and_sdf(tmp_path, code, properties, expected):
    text = MOL.format(code, properties)
    (tmp_path / "f.mol").write_text(text)
    (tmp_path / "f.sdf").write_text(text + "> <id>\nx7\n\n$$$$\n" + MOL.format(0, "") + "$$$$\n")
    (frame,) = read_frames(tmp_path / "f.mol")
    assert (frame.charge, frame.spin) == expected
    first, other = read_frames(tmp_path / "f.sdf")
    assert (first.charge, first.spin, first.info["id"]) == (*expected, "x7")
    assert (other.charge, other.spin) == (0, 1)


def test_mol_that_is_cut_off_or_has_isotopes_is_refused(tmp_path):
    text = MOL.format(0, "M  CHG  1   1  -1\n")
    for broken, message in [
        (text[: text.index("M  CHG")], "cut off"),
        (text.replace("M  CHG  1   1  -1", "M  ISO  1   2   2"), "isotopes"),
        (text.replace("V2000", "V3000"), "V3000"),
    ]:
        (tmp_path / "f.mol").write_text(broken)
        with pytest.raises(ValueError, match=message):
            read_frames(tmp_path / "f.mol")


def test_a_charge_of_none_is_no_charge():
    atoms = Atoms("He", info={"charge": None, "spin": None})
    assert (frame_of(atoms).charge, frame_of(atoms).spin) == (0, 0)
    pair = Atoms("He2", [[0, 0, 0], [0, 0, 3]], info={"charge": np.array([0.1, -0.1])})
    assert frame_of(pair).charge == 0  # of each atom, not the total


@pytest.mark.parametrize("column", ["initial_charges:R:1", "formal_charge:I:1", "FormalCharges:I:1"])
def test_a_column_of_charges_adds_up(tmp_path, column):
    header = f"Properties=species:S:1:pos:R:3:{column}"
    (tmp_path / "f.extxyz").write_text(f"2\n{header}\nO 0 0 0 -1\nH 0.97 0 0 0\n")
    (frame,) = read_frames(tmp_path / "f.extxyz")
    assert (frame.charge, frame.spin) == (-1, 0)


def test_a_charge_column_of_ase_db(tmp_path):
    from ase.db import connect

    connect(tmp_path / "a.db").write(Atoms("He"), total_charge=1)
    assert [(f.charge, f.spin) for f in read_frames(tmp_path / "a.db")] == [(1, 1)]
