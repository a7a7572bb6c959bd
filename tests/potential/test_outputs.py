"""Charge and spin in the outputs (and one input) of quantum chemistry programs, which ASE leaves out."""

from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from potential.data.notes import StructureWarning
from potential.data.structure_files import read_dataset, read_frames

GAUSSIAN = """ Entering Gaussian System, Link 0=g16
 Input=oh.gjf
 Output=oh.log
 ----------------------------
 # PBEPBE/def2SVP Force NoSymm
 ----------------------------
 Symbolic Z-matrix:
 Charge = {charge:2d} Multiplicity = {multiplicity}
 O                     0.        0.        0.
 H                     0.97      0.        0.

                          Input orientation:
 ---------------------------------------------------------------------
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
 ---------------------------------------------------------------------
      1          8           0        0.000000    0.000000    0.000000
      2          1           0        0.970000    0.000000    0.000000
 ---------------------------------------------------------------------
 SCF Done:  E(RPBE-PBE) =  -75.6254171630     A.U. after   10 cycles
 Mulliken charges:
               1
     1  O   -1.220311
     2  H    0.220311
 Sum of Mulliken charges =  -1.00000
 -------------------------------------------------------------------
 Center     Atomic                   Forces (Hartrees/Bohr)
 Number     Number              X              Y              Z
 -------------------------------------------------------------------
      1        8          -0.010000000    0.000000000    0.000000000
      2        1           0.010000000    0.000000000    0.000000000
 -------------------------------------------------------------------
 Normal termination of Gaussian 16
"""

ORCA = """
                                 *****************
                                 * O   R   C   A *
                                 *****************

                         Program Version 5.0.4 -  RELEASE  -

---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  O      0.000000    0.000000    0.000000
  H      0.970000    0.000000    0.000000

Number of atoms                             ...      2

General Settings:
 Integral files         IntName         .... oh
 Hartree-Fock type      HFTyp           .... UHF
 Total Charge           Charge          .... {charge:4d}
 Multiplicity           Mult            .... {multiplicity:4d}
 Number of Electrons    NEL             ....   10
 Basis Dimension        Dim             ....   19

-------------------------   --------------------
FINAL SINGLE POINT ENERGY       -75.625417163000
-------------------------   --------------------

                             ****ORCA TERMINATED NORMALLY****
"""

GEOMETRY_OF_NWCHEM = """
              Northwest Computational Chemistry Package (NWChem) 7.0.2
              --------------------------------------------------------

                             Geometry "geometry" -> ""
                             -------------------------

 Output coordinates in angstroms (scale by  1.889725989 to convert to a.u.)

  No.       Tag          Charge          X              Y              Z
 ---- ---------------- ---------- -------------- -------------- --------------
    1 O                    8.0000     0.00000000     0.00000000     0.00000000
    2 H                    1.0000     0.97000000     0.00000000     0.00000000

      Atomic Mass
      -----------

      O                 15.994910
      H                  1.007825

"""

NWCHEM_DFT = (
    GEOMETRY_OF_NWCHEM
    + """
                                 NWChem DFT Module
                                 -----------------

            General Information
            -------------------
          SCF calculation type: DFT
          Wavefunction type:  spin polarized.
          No. of atoms     :     2
          No. of electrons :    10
          Charge           : {charge:5d}
          Spin multiplicity: {multiplicity:5d}
          Use of symmetry is: off; symmetry adaption is: off

         Total DFT energy =      -75.625417163000
"""
)

NWCHEM_SCF = (
    GEOMETRY_OF_NWCHEM
    + """
                                 NWChem SCF Module
                                 -----------------

  ao basis        = "ao basis"
  functions       =    19
  atoms           =     2
  closed shells   =     4
  open shells     =     {unpaired}
  charge          = {charge:5d}.00
  wavefunction    = ROHF

       Final ROHF  results
       ------------------

         Total SCF energy =    -75.625417163000
"""
)

NWCHEM_INPUT = """start oh
geometry units angstroms nocenter noautosym
  O 0.0 0.0 0.0
  H 0.97 0.0 0.0
end

charge {charge}
basis
  * library def2-svp
end
{module}
task {name} energy
"""

ESPRESSO = """&system
 ibrav=0, nat=2, ntyp=2, ecutwfc=30
 ! tot_charge = 5
 tot_charge = {charge}.d0, tot_magnetization={unpaired}
/
ATOMIC_SPECIES
O 16 O.upf
H 1 H.upf
ATOMIC_POSITIONS angstrom
O 0 0 0
H 0.97 0 0
CELL_PARAMETERS angstrom
10 0 0
0 10 0
0 0 10
"""

CP2K = """&FORCE_EVAL
 &MM
  &FORCEFIELD
   &CHARGE
    CHARGE -0.8
   &END CHARGE
  &END FORCEFIELD
 &END MM
 &DFT
  CHARGE {charge}
  MULTIPLICITY {multiplicity}
 &END DFT
 &SUBSYS
  &CELL
   A 10 0 0
   B 0 10 0
   C 0 0 10
  &END CELL
  &COORD
O 0 0 0
H 0.97 0 0
  &END COORD
 &END SUBSYS
&END FORCE_EVAL
"""

TURBOMOLE = "$coord\n 0 0 0 o\n 1.83303433 0 0 h\n$eht charge={charge} unpaired={unpaired}\n$end\n"
XTB = "$coord\n 0 0 0 o\n 1.83303433 0 0 h\n$chrg {charge}\n$spin {unpaired}\n$end\n"

STATES = [(-1, 0), (0, 1), (1, 2), (-1, 2)]
OUTPUTS = {
    "oh.log": GAUSSIAN,
    "oh.out": ORCA,
    "dft.nwo": NWCHEM_DFT,
    "scf.nwo": NWCHEM_SCF,
    "oh.pwi": ESPRESSO,
    "oh.restart": CP2K,
    "coord": TURBOMOLE,
    "oh.tmol": XTB,
}


@pytest.mark.filterwarnings("ignore::potential.data.notes.StructureWarning")
@pytest.mark.parametrize(("charge", "spin"), STATES)
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs(tmp_path: Path, name: str, charge: int, spin: int):
    path = tmp_path / name
    path.write_text(OUTPUTS[name].format(charge=charge, multiplicity=spin + 1, unpaired=spin))
    (frame,) = read_frames(path)
    assert (frame.formula, frame.charge, frame.spin) == ("HO", charge, spin)
    assert np.allclose(frame.positions, [[0.0, 0.0, 0.0], [0.97, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("dft", "dft\n  xc pbe0\n  mult 3\nend"),
        ("scf", "scf\n  nopen 2\nend"),
        ("scf", "scf\n  triplet; uhf\nend"),
        ("scf", "scf\n  TRIPLET\n  uhf\nend"),
    ],
)
def test_input_of_nwchem(tmp_path: Path, name: str, module: str):
    path = tmp_path / "oh.nwi"
    path.write_text(NWCHEM_INPUT.format(charge=-1, name=name, module=module))
    (frame,) = read_frames(path)
    assert (frame.charge, frame.spin) == (-1, 2)
    path.write_text(NWCHEM_INPUT.format(charge=-1, name="dft", module="dft\n  xc pbe0\nend"))
    (frame,) = read_frames(path)
    assert (frame.charge, frame.spin) == (-1, 0)


def test_labels_of_an_output_are_of_its_charge(tmp_path: Path):
    (tmp_path / "oh.log").write_text(GAUSSIAN.format(charge=-1, multiplicity=1))
    (item,) = read_dataset(tmp_path / "oh.log", level_key="x")
    assert item.frame.charge == -1
    assert item.label.energy == pytest.approx(-75.6254171630 * Hartree, abs=1e-4)
    assert item.label.forces[0, 0] == pytest.approx(-0.01 * 51.4220675, rel=1e-5)


def test_a_charge_that_is_no_integer_is_refused(tmp_path: Path):
    path = tmp_path / "oh.pwi"
    path.write_text(ESPRESSO.format(charge=0, unpaired=1).replace("0.d0", "-0.5"))
    with pytest.raises(ValueError, match=r"charge is -0\.5, expected an integer"):
        read_frames(path)


def orca_step(distance: float, energy: float, gradient: float | None, end: str) -> str:
    head, rest = ORCA.format(charge=-1, multiplicity=1).split("-75.625417163000")
    forces = "" if gradient is None else GRADIENT_OF_ORCA.format(gradient=gradient)
    text = f"{head}{energy:.12f}{rest}".replace("0.970000", f"{distance:.6f}")
    return text.replace("                             ****ORCA TERMINATED NORMALLY****", f"{forces}{end}")


GRADIENT_OF_ORCA = """------------------
CARTESIAN GRADIENT
------------------

   1   O   :   {gradient:.9f}    0.000000000    0.000000000
   2   H   :  -{gradient:.9f}    0.000000000    0.000000000

"""
NEXT, LAST = "ORCA GEOMETRY RELAXATION STEP", "ORCA TERMINATED NORMALLY"


def test_each_step_of_a_relaxation_by_orca_with_its_own_forces(tmp_path: Path):
    steps = [(1.0, -75.62, 0.025, NEXT), (0.98, -75.63, 0.005, NEXT), (0.97, -75.64, None, LAST)]
    (tmp_path / "opt.out").write_text("".join(orca_step(*step) for step in steps))
    with pytest.warns(StructureWarning, match="1 of 3 structures, which have no forces, are left out"):
        found = read_dataset(tmp_path / "opt.out", "ORCA")
    for (distance, energy, gradient, _), item in zip(steps, found, strict=False):
        assert item.frame.charge == -1
        assert np.ptp(item.frame.positions, axis=0)[0] == pytest.approx(distance)
        assert item.label.energy == pytest.approx(energy * Hartree)
        assert item.label.forces[0, 0] == pytest.approx(-gradient * Hartree / Bohr)
    assert len(read_frames(tmp_path / "opt.out")) == 3


def test_two_calculations_in_one_output_of_orca_are_not_mixed(tmp_path: Path):
    two = orca_step(1.0, -75.62, 0.025, "") + orca_step(0.97, -75.64, 0.005, LAST)
    (tmp_path / "two.out").write_text(two)
    with pytest.raises(ValueError, match="which gradient belongs to which atoms cannot be told"):
        read_dataset(tmp_path / "two.out", "ORCA")
