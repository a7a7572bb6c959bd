"""Total charge in files of programs for crystals, and in those of a few for molecules, which ASE leaves out.

The files are as short as ASE's readers allow; OH in a box, charged and neutral.
"""

from pathlib import Path

import numpy as np
import pytest

from potential.data.structure_files import read_frames

GAMESS = """
     {what} MULTIPLICITY                          =    {multiplicity}
          *         GAMESS VERSION = 30 JUN 2019 (R1)          *
 ATOM      ATOMIC                      COORDINATES (BOHR)
           CHARGE         X                   Y                   Z
 O           8.0     0.0000000000        0.0000000000        0.0000000000
 H           1.0     1.8330343300        0.0000000000        0.0000000000

 TOTAL NUMBER OF BASIS SET SHELLS             =    9
 NUMBER OF ELECTRONS                          =   10
 CHARGE OF MOLECULE                           =   {charge:2d}
 FINAL R-HF ENERGY IS      -75.3134113131 AFTER  11 ITERATIONS
"""

CASTEP = """
 | Welcome to Academic Release CASTEP version 18.1 |

 ************************************ Title ************************************
 hydroxide
 **************************** Electronic Parameters ****************************

 number of  electrons                           :  8.000
 net charge of system                           : {charge:6.3f}
 net spin   of system                           :  0.000
 treating system as spin-polarized

 *******************************************************************************
                                Unit Cell
                                -------------------------------
        Real Lattice(A)                      Reciprocal Lattice(1/A)
  10.0000000     0.0000000     0.0000000        0.628318531   0.000000000   0.000000000
   0.0000000    10.0000000     0.0000000        0.000000000   0.628318531   0.000000000
   0.0000000     0.0000000    10.0000000        0.000000000   0.000000000   0.628318531

                                Cell Contents
                                -------------------------------
                         Total number of ions in cell =    2
                      Total number of species in cell =    2

            x  Element    Atom        Fractional coordinates of atoms  x
            x            Number           u          v          w      x
            x----------------------------------------------------------x
            x  H           1         0.097000   0.000000   0.000000    x
            x  O           1         0.000000   0.000000   0.000000    x
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx

Final energy =  -445.1234567     eV
Initialisation time =      1.00 s
Calculation time    =      2.00 s
Finalisation time   =      0.10 s
Total time          =      3.10 s
"""

GPAW = """
  ___ ___ ___ _ _ _
 |   |   |_  | | | |
 | | | | | . | | | |
 |__ |  _|___|_____|  22.8.0
 |___|_|

Reference energy: -2056.900000

Positions:
   0 O      0.000000    0.000000    0.000000    ( 0.0000,  0.0000,  0.0000)
   1 H      0.970000    0.000000    0.000000    ( 0.0000,  0.0000,  0.0000)

Unit cell:
           periodic     x           y           z      points  spacing
  1. axis:    yes   10.000000    0.000000    0.000000    48     0.2083
  2. axis:    yes    0.000000   10.000000    0.000000    48     0.2083
  3. axis:    yes    0.000000    0.000000   10.000000    48     0.2083

Total Charge: {charge:.6f}
Energy contributions relative to reference atoms: (reference = -2056.900000)

Kinetic:         +0.000000
--------------------------
Free energy:    -10.000000
Extrapolated:   -10.000000
"""

ABINIT_INPUT = """# hydroxide; charge 5 was tried
acell 10.0 10.0 10.0 Angstr
rprim 1 0 0  0 1 0  0 0 1
natom 2 ntypat 2 typat 1 2 znucl 8 1 {word} {charge} ecut 20
xangst 0.0 0.0 0.0  0.97 0.0 0.0
"""

ONETEP = """!---------------------------- INPUT FILE ----------------------------!
charge{sign}{charge} ! an ion
cutoff_energy 500 eV
%BLOCK SPECIES
O O 8 4 8.0
H H 1 1 8.0
%ENDBLOCK SPECIES
%BLOCK LATTICE_CART
ang
10.0 0.0 0.0
0.0 10.0 0.0
0.0 0.0 10.0
%ENDBLOCK LATTICE_CART
%BLOCK POSITIONS_ABS
ang
O 0.0 0.0 0.0
H 0.97 0.0 0.0
%ENDBLOCK POSITIONS_ABS
"""
ONETEP_OUTPUT = (
    " |        Linear-Scaling Ab Initio Total Energy Program          |\n"
    + ONETEP
    + "-------------------------- END INPUT FILE --------------------------\n"
)

QUANTUM_ESPRESSO = """
     Program PWSCF v.7.0 starts on  1Jan2026 at  0: 0: 0
     bravais-lattice index     =            0
     lattice parameter (alat)  =      18.8973  a.u.
     unit-cell volume          =    6748.3345 (a.u.)^3
     number of atoms/cell      =            2
     number of atomic types    =            2
     number of electrons       =        {electrons:.2f}

     celldm(1)=  18.897261  celldm(2)=   0.000000  celldm(3)=   0.000000
     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )

     atomic species   valence    mass     pseudopotential
        O1             6.00    15.99900     O ( 1.00)
        H              1.00     1.00800     H ( 1.00)

   Cartesian axes

     site n.     atom                  positions (alat units)
         1           O1  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
         2           H   tau(   2) = (   0.0970000   0.0000000   0.0000000  )

     number of k points=     1
                       cart. coord. in units 2pi/alat
        k(    1) = (   0.0000000   0.0000000   0.0000000), wk =   2.0000000

!    total energy              =     -34.00000000 Ry
"""

OUTCAR = """ vasp.6.3.0 20Jan22
 POTCAR:    PAW_PBE O 08Apr2002
 POTCAR:    PAW_PBE H 15Jun2001
 POTCAR:    PAW_PBE O 08Apr2002
 POTCAR:    PAW_PBE H 15Jun2001
   VRHFIN =O: s2p4
   VRHFIN =H: ultrasoft test
   POMASS =   16.000; ZVAL   =    6.000    mass and valenz
   POMASS =    1.000; ZVAL   =    1.000    mass and valenz
   number of dos      NEDOS =    301   number of ions     NIONS =      2
   ions per type =               1   1
   ISPIN  =      1    spin polarized calculation?
  Ionic Valenz
   ZVAL   =   6.00  1.00
   NELECT =      {electrons:.4f}    total number of electrons
   NUPDOWN=      -1.0000    fix difference up-down
------------------------ Iteration      1(   1)  ------------------------
      direct lattice vectors                 reciprocal lattice vectors
    10.000000000  0.000000000  0.000000000     0.100000000  0.000000000  0.000000000
     0.000000000 10.000000000  0.000000000     0.000000000  0.100000000  0.000000000
     0.000000000  0.000000000 10.000000000     0.000000000  0.000000000  0.100000000

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000        -0.100000      0.000000      0.000000
      0.97000      0.00000      0.00000         0.100000      0.000000      0.000000
 -----------------------------------------------------------------------------------

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =       -10.00000000 eV

  energy  without entropy=      -10.00000000  energy(sigma->0) =      -10.00000000
"""

VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <kpoints><varray name="kpointlist"><v> 0.0 0.0 0.0 </v></varray></kpoints>
 <parameters>
  <separator name="electronic"><i name="NELECT"> {electrons:.8f}</i></separator>
 </parameters>
 <atominfo>
  <atoms>  2 </atoms>
  <array name="atoms" ><set>
    <rc><c>O </c><c>   1</c></rc>
    <rc><c>H </c><c>   2</c></rc>
  </set></array>
  <array name="atomtypes" ><set>
    <rc><c>   1</c><c>O </c><c>  16.00000000</c><c>   6.00000000</c><c>PAW_PBE O 08Apr2002 </c></rc>
    <rc><c>   1</c><c>H </c><c>   1.00000000</c><c>   1.00000000</c><c>PAW_PBE H 15Jun2001 </c></rc>
  </set></array>
 </atominfo>
 <structure name="initialpos" >
  <crystal><varray name="basis" ><v> 10. 0. 0. </v><v> 0. 10. 0. </v><v> 0. 0. 10. </v></varray></crystal>
  <varray name="positions" ><v> 0. 0. 0. </v><v> 0.097 0. 0. </v></varray>
 </structure>
 <calculation>
  <scstep><energy><i name="e_fr_energy"> -10. </i><i name="e_0_energy"> -10. </i></energy></scstep>
  <structure>
   <crystal><varray name="basis" ><v> 10. 0. 0. </v><v> 0. 10. 0. </v><v> 0. 0. 10. </v></varray></crystal>
   <varray name="positions" ><v> 0. 0. 0. </v><v> 0.097 0. 0. </v></varray>
  </structure>
  <varray name="forces" ><v> -0.1 0. 0. </v><v> 0.1 0. 0. </v></varray>
  <energy><i name="e_fr_energy"> -10. </i><i name="e_wo_entrp"> -10. </i>
   <i name="e_0_energy"> -10. </i></energy>
 </calculation>
</modeling>
"""

DFTB = """Geometry = {{
  TypeNames = {{ "O" "H" }}
  TypesAndCoordinates [Angstrom] = {{
    1 0.0 0.0 0.0
    2 0.97 0.0 0.0
  }}
}}
Hamiltonian = DFTB {{
  # Charge = 5
  Charge = {charge}.0
}}
"""

CJSON = """{{"chemicalJson": 1,
 "atoms": {{"elements": {{"number": [8, 1]}}, "coords": {{"3d": [0, 0, 0, 0.97, 0, 0]}}}},
 "properties": {{"totalCharge": {charge}, "totalSpinMultiplicity": {multiplicity}}}}}
"""

OCTOPUS = """ExcessCharge = {charge}
Radius = 5
%Coordinates
 "O" | 0 | 0 | 0
 "H" | 1.83303433 | 0 | 0
%
"""

FILES = {
    "state.gms.out": GAMESS.replace("{what}", "STATE"),
    "spin.gms.out": GAMESS.replace("{what}", "SPIN"),
    "oh.castep": CASTEP,
    "gpaw.txt": GPAW,
    "new.abi": ABINIT_INPUT.replace("{word}", "cellcharge"),
    "old.abi": ABINIT_INPUT.replace("{word}", "charge"),
    "colon.onetep": ONETEP.replace("{sign}", " : "),
    "equal.onetep": ONETEP.replace("{sign}", "="),
    "space.onetep": ONETEP.replace("{sign}", "   "),
    "oh.out": ONETEP_OUTPUT.replace("{sign}", " : "),
    "oh.pwo": QUANTUM_ESPRESSO,
    "OUTCAR": OUTCAR,
    "vasprun.xml": VASPRUN,
    "dftb_in.hsd": DFTB,
    "oh.cjson": CJSON,
    "inp": OCTOPUS,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("charge", "spin"), [(-1, 0), (0, 1)])
@pytest.mark.parametrize("name", FILES)
def test_charge(tmp_path: Path, name: str, charge: int, spin: int):
    path = tmp_path / name
    path.write_text(FILES[name].format(charge=charge, multiplicity=spin + 1, electrons=7 - charge))
    (frame,) = read_frames(path)
    assert (frame.formula, frame.charge, frame.spin) == ("HO", charge, spin)
    distance = np.linalg.norm(frame.positions[0] - frame.positions[1])
    assert distance == pytest.approx(0.97, abs=1e-4)
