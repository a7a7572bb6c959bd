import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from pydantic import TypeAdapter, ValidationError

from labeling.level import LennardJonesLevel, LevelOfTheory, PySCFLevel
from labeling.solvent import Solvent
from potential.data.frame import Frame


def test_key_covers_what_decides_the_numbers_and_nothing_else() -> None:
    key = PySCFLevel().key
    assert len(key) == 12
    assert int(key, 16) >= 0
    assert PySCFLevel(xc="pbe", basis="def2svp").key == key
    assert PySCFLevel(max_scf_cycles=7).key == key
    others: list[LevelOfTheory] = [
        PySCFLevel(xc="r2SCAN"),
        PySCFLevel(basis="def2-TZVP"),
        PySCFLevel(dispersion="d3bj"),
        PySCFLevel(density_fit=False),
        PySCFLevel(grid_level=3),
        PySCFLevel(conv_tol_hartree=1e-8),
        LennardJonesLevel(),
        LennardJonesLevel(cutoff_angstrom=9.0),
    ]
    assert len({key, *(level.key for level in others)}) == len(others) + 1


def test_labels_made_before_stay_valid() -> None:
    """Keys of levels as they were first released: a change here would orphan every label ever stored."""
    before = PySCFLevel(grid_level=3)
    assert before.key == "f2c1ba42e2e1"
    b3lyp = {"xc": "B3LYP", "dispersion": "d4", "basis": "def2-TZVP", "density_fit": False}
    assert before.model_copy(update=b3lyp).key == "9eb1936b5760"
    assert LennardJonesLevel().key == "f570b6277c7d"


def test_key_of_what_is_chosen_per_element() -> None:
    key = PySCFLevel().key
    assert PySCFLevel(basis={"default": "def2-SVP"}).key == key
    assert PySCFLevel(basis={"default": "def2-SVP", "I": "def2svp"}).key == key
    assert PySCFLevel(solvent=None, ecp=None, auxbasis=None, stability=False).key == key
    others: list[LevelOfTheory] = [
        PySCFLevel(basis={"default": "def2-SVP", "I": "def2-TZVP"}),
        PySCFLevel(ecp={"Cr": "lanl2dz"}),
        PySCFLevel(auxbasis="def2-universal-jkfit"),
        PySCFLevel(solvent=Solvent()),
        PySCFLevel(solvent=Solvent(name="toluene")),
        PySCFLevel(solvent=Solvent(model="SMD")),
        PySCFLevel(stability=True),
    ]
    assert len({key, *(level.key for level in others)}) == len(others) + 1
    assert len({PySCFLevel(), *others}) == len(others) + 1  # hashable, also with a basis per element
    assert others[0] == PySCFLevel.model_validate_json(others[0].model_dump_json())


def test_name_is_what_a_chemist_writes() -> None:
    assert PySCFLevel().name == "PBE/def2-SVP"
    assert PySCFLevel(xc="PBE0", dispersion="d3bj").name == "PBE0-D3BJ/def2-SVP"
    iodine = PySCFLevel(basis={"default": "def2-SVP", "I": "def2-TZVP"}, solvent=Solvent(model="SMD"))
    assert iodine.name == "PBE/def2-SVP (I: def2-TZVP), SMD(water)"


def test_a_config_says_which_labeler() -> None:
    adapter: TypeAdapter[LevelOfTheory] = TypeAdapter(LevelOfTheory)
    assert isinstance(adapter.validate_python({"labeler": "lennard_jones"}), LennardJonesLevel)
    level = PySCFLevel(xc="B3LYP", dispersion="d4")
    assert adapter.validate_json(level.model_dump_json()) == level


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"xc": "wb97x-d"}, "xc: wb97x-d3bj"),
        ({"xc": "wB97X_D3"}, "xc: wb97x-d3bj"),
        ({"xc": "r2scan-3c"}, "xc: r2scan, dispersion: d4"),
        ({"xc": "b97-3c"}, "xc: b97-d, dispersion: d3bj"),
        ({"xc": "pbeh-3c"}, "xc: pbe0, dispersion: d3bj"),
        ({"xc": "PBEE"}, "'PBEE'; write one of PBE"),
        ({"xc": ""}, "write one of PBE"),
        ({"xc": "scanl"}, "no gradient"),
        ({"xc": "pbe-d3bj"}, "write `xc: pbe` and `dispersion: d3bj`"),
        ({"xc": "wb97x-d3bj", "dispersion": "d4"}, "dispersion: null"),
        ({"xc": "wb97x-v", "dispersion": "d4"}, "dispersion: null"),
        ({"xc": "wb97x", "dispersion": "d3bj"}, "xc: wb97x-d3bj"),
        ({"xc": "lda,vwn", "dispersion": "d4"}, "no d4 parameters"),
        ({"basis": "def3-SVP"}, "'def3-SVP'"),
        ({"basis": "gth-dzvp"}, "def2-SVP"),
        ({"functional": "PBE"}, "Extra inputs"),
        ({"basis": {"I": "def2-TZVP"}}, "default"),
        ({"basis": {"default": "def2-SVP", "Xx": "def2-TZVP"}}, "'Xx' is no element"),
        ({"basis": {"default": "def2-SVP", "U": "def2-TZVP"}}, "no functions for U"),
        ({"ecp": {"H": "lanl2dz"}}, "no effective core potential for H"),
        ({"auxbasis": "def2-jk"}, "def2-universal-jkfit"),
        ({"auxbasis": "weigend", "density_fit": False}, "density_fit: true"),
        ({"solvent": {"name": "watr"}}, "'watr' is not in .* write one of water"),
        ({"solvent": {"model": "SS(V)PE"}}, "IEF-PCM"),
    ],
)
def test_what_pyscf_cannot_do_is_refused_when_the_config_is_read(
    settings: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ValidationError, match="(?s)" + advice.replace("(", r"\(")):
        PySCFLevel(**settings)


@pytest.mark.parametrize(
    ("xc", "dispersion"),
    [("PBE", "d3bj"), ("b3lyp", "d3zero"), ("r2SCAN", "d4"), ("b97-d", "d3bj"), ("wb97x-d3bj", None)],
)
def test_what_pyscf_can_do_is_accepted(xc: str, dispersion: str | None) -> None:
    assert PySCFLevel(xc=xc, dispersion=dispersion).xc == xc


def test_check_names_the_value_and_the_fix() -> None:
    level, water = PySCFLevel(), Frame.from_atoms(molecule("H2O"))
    level.check(water)
    level.check(Frame.from_atoms(molecule("H2O"), charge=1, spin=1))
    with pytest.raises(ValueError, match=r"spin 1 is impossible .*10 electrons.*spin: 0 or 2"):
        level.check(Frame.from_atoms(molecule("H2O"), spin=1))
    with pytest.raises(ValueError, match="no electrons"):
        level.check(Frame.of([1], np.zeros((1, 3)), charge=1))
    with pytest.raises(ValueError, match="no functions for U"):
        level.check(Frame.of([92], np.zeros((1, 3))))
    with pytest.raises(ValueError, match=r"auxbasis.*no functions for I"):
        PySCFLevel(auxbasis="cc-pvdz-jkfit").check(Frame.of([53], np.zeros((1, 3)), charge=-1))
    with pytest.raises(ValueError, match="overlap"):
        level.check(water.moved(water.positions * 0.3))
    with pytest.raises(ValueError, match="periodic"):
        level.check(Frame.from_atoms(bulk("C")))
    LennardJonesLevel().check(Frame.from_atoms(bulk("U"), charge=3))


def test_importing_levels_loads_neither_pyscf_nor_torch() -> None:
    code = "import sys, labeling.level; print({'pyscf', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
