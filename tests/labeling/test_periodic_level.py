import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from pydantic import TypeAdapter, ValidationError

from labeling.level import LevelOfTheory, PySCFLevel
from labeling.periodic_level import PeriodicLevel
from potential.data.frame import Frame

DIAMOND = Frame.from_atoms(bulk("C"))


def test_key_covers_what_decides_the_numbers_and_nothing_else() -> None:
    key = PeriodicLevel().key
    assert len(key) == 12
    assert int(key, 16) >= 0
    same = {
        "xc": "pbe",
        "basis": "GTH_DZVP_MOLOPT_SR",
        "pseudopotential": "GTH-PBE",
        "smearing_width_eV": 0.7,
    }
    assert PeriodicLevel(**same, max_scf_cycles=7).key == key
    others: list[LevelOfTheory] = [
        PeriodicLevel(xc="PBEsol"),
        PeriodicLevel(basis="gth-szv"),
        PeriodicLevel(k_mesh=(2, 2, 3)),
        PeriodicLevel(ke_cutoff_hartree=151),
        PeriodicLevel(precision=1e-9),
        PeriodicLevel(smearing="fermi"),
        PeriodicLevel(smearing="gauss"),
        PeriodicLevel(smearing="fermi", smearing_width_eV=0.2),
        PeriodicLevel(conv_tol_hartree=1e-8),
        PySCFLevel(),
    ]
    assert len({key, *(level.key for level in others)}) == len(others) + 1


def test_key_stays_what_it_is() -> None:
    """A label store outlives this code: keys of old labels must be found again."""
    assert PeriodicLevel().key == "cea317d7f3c5"
    assert PeriodicLevel(xc="lda,pw", basis="gth-szv", smearing="fermi").key == "c3c987c13a8b"


def test_name_is_what_a_chemist_writes() -> None:
    level = PeriodicLevel(basis="gth-dzvp", k_mesh=(3, 3, 2), smearing="fermi")
    assert level.name == "PBE/gth-dzvp, gth-pbe, k 3x3x2, fermi 0.1 eV"
    assert PeriodicLevel(xc="lda,vwn", basis="gth-szv").name == "lda,vwn/gth-szv, gth-pade, k 2x2x2"


def test_a_config_says_which_labeler() -> None:
    adapter: TypeAdapter[LevelOfTheory] = TypeAdapter(LevelOfTheory)
    level = adapter.validate_python({"labeler": "pyscf_periodic", "k_mesh": [2, 2, 2]})
    assert level == PeriodicLevel()
    assert adapter.validate_json(level.model_dump_json()) == level


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"density_fitting": "gdf"}, "neither forces nor stress.*density_fitting: fftdf"),
        ({"density_fitting": "multigrid"}, "Gamma point only.*density_fitting: fftdf"),
        ({"density_fitting": "ewald"}, "'ewald' is unknown.*density_fitting: fftdf"),
        ({"xc": "PBE0"}, "no stress for hybrid.*xc: PBE"),
        ({"xc": "HSE06"}, "no stress for hybrid.*xc: PBE"),
        ({"xc": "r2SCAN"}, "no forces of crystals for meta-GGA.*xc: PBE"),
        ({"xc": "pbe-d3bj"}, "without dispersion.*xc: pbe"),
        ({"xc": "PBEE"}, "does not know the functional"),
        ({"xc": "pw91,pw91"}, "no pseudopotential was made for.*gth-pbe"),
        ({"basis": "def2-SVP"}, "'def2-SVP' is no basis for GTH.*gth-dzvp"),
        ({"pseudopotential": "gth-pade"}, "not made for xc: PBE.*pseudopotential: gth-pbe"),
        ({"pseudopotential": "ccecp"}, "'ccecp' is unknown.*gth-pbe"),
        ({"k_mesh": [2, 2, 0]}, "greater than or equal to 1"),
        ({"smearing": "cold"}, "'fermi' or 'gauss'"),
        ({"kmesh": [2, 2, 2]}, "Extra inputs"),
    ],
)
def test_what_pyscf_cannot_do_is_refused_when_the_config_is_read(
    settings: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ValidationError, match="(?s)" + advice):
        PeriodicLevel(**settings)


@pytest.mark.parametrize("xc", ["PBE", "PBEsol", "BLYP", "lda,pw", "LDA, VWN"])
def test_what_pyscf_can_do_is_accepted(xc: str) -> None:
    assert PeriodicLevel(xc=xc).potential.startswith("gth-")


def test_another_gga_is_accepted_with_a_pseudopotential_of_choice() -> None:
    assert PeriodicLevel(xc="pw91,pw91", pseudopotential="gth-pbe").potential == "gth-pbe"


def test_check_names_the_value_and_the_fix() -> None:
    level = PeriodicLevel()
    level.check(DIAMOND)
    level.check(Frame.from_atoms(bulk("C"), spin=2))
    with pytest.raises(ValueError, match=r"not periodic in three directions.*labeler: pyscf"):
        level.check(Frame.from_atoms(molecule("H2O")))
    with pytest.raises(ValueError, match="pbc True in all directions"):
        level.check(Frame.of([6], [[0, 0, 0]], 4 * np.eye(3), pbc=(True, True, False)))
    with pytest.raises(ValueError, match="charge: 0"):
        level.check(Frame.from_atoms(bulk("C"), charge=2))
    with pytest.raises(ValueError, match=r"spin 0 is impossible .*13 electrons.*spin: 1"):
        level.check(Frame.from_atoms(bulk("Al")))
    with pytest.raises(ValueError, match="no pseudopotential for U"):
        level.check(Frame.from_atoms(bulk("U", "fcc", a=5.0)))
    with pytest.raises(
        ValueError, match=r"no functions for Fe .*write one of gth-szv-molopt-sr, gth-dzvp-molopt-sr"
    ):
        PeriodicLevel(basis="gth-szv").check(Frame.from_atoms(bulk("Fe")))
    with pytest.raises(ValueError, match="overlap"):
        level.check(DIAMOND.moved(DIAMOND.positions, cell=DIAMOND.cell * 0.3))
    with pytest.raises(ValueError, match="labeler: pyscf"):
        PySCFLevel().check(DIAMOND)


def test_importing_levels_loads_neither_pyscf_nor_torch() -> None:
    code = "import sys, labeling.periodic_level; print({'pyscf', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
