from typing import Any

import numpy as np
import pytest
from ase.build import molecule

from labeling.attempt import attempt
from labeling.failure import LabelFailure, NotConvergedError
from labeling.level import PySCFLevel
from labeling.pyscf_labeler import compute
from labeling.solvent import Solvent
from potential.data.dataset import Label
from potential.data.frame import Frame

COARSE = PySCFLevel(grid_level=1)
LANL2DZ = {"default": "def2-SVP", "Cl": "lanl2dz"}
TIGHT = PySCFLevel(grid_level=1, conv_tol_hartree=1e-11)


def finite_difference(frame: Frame, level: PySCFLevel, atom: int, axis: int, step: float = 1e-3) -> float:
    energies = []
    for sign in (1, -1):
        positions = frame.positions.copy()
        positions[atom, axis] += sign * step
        energies.append(compute(frame.moved(positions), level).energy)
    return -(energies[0] - energies[1]) / (2 * step)


@pytest.mark.physics
@pytest.mark.parametrize(
    ("name", "charge", "spin", "level"),
    [
        ("H2O", 0, 0, TIGHT),
        ("H2O", 0, 0, TIGHT.model_copy(update={"density_fit": False})),
        ("H2O", 0, 0, PySCFLevel(xc="PBE0", dispersion="d4", grid_level=1, conv_tol_hartree=1e-11)),
        ("H2O", 1, 1, TIGHT),
        ("H2O", 0, 0, TIGHT.model_copy(update={"basis": {"default": "def2-SVP", "O": "def2-TZVP"}})),
        ("HCl", 0, 0, TIGHT.model_copy(update={"basis": LANL2DZ, "ecp": {"Cl": "lanl2dz"}})),
    ],
    ids=[
        *("RKS", "no density fitting", "PBE0-D4", "UKS radical cation", "basis per element", "ECP"),
    ],
)
def test_forces_are_the_derivative_of_the_energy(
    name: str, charge: int, spin: int, level: PySCFLevel
) -> None:
    atoms = molecule(name)
    atoms.rattle(0.05, seed=1)
    frame = Frame.from_atoms(atoms, charge=charge, spin=spin)
    label = compute(frame, level)
    # On grid level 1 forces without grid response are off by more than 2 meV/Angstrom.
    assert abs(label.forces[1, 2] - finite_difference(frame, level, 1, 2)) < 2e-4
    assert np.abs(label.forces.sum(axis=0)).max() < 1e-5


@pytest.mark.physics
@pytest.mark.parametrize(
    ("model", "charge"),
    [
        ("IEF-PCM", 0),
        *(
            pytest.param(model, charge, marks=pytest.mark.slow)
            for model in ("IEF-PCM", "C-PCM", "COSMO", "ddCOSMO", "SMD")
            for charge in (0, 1)
        ),
    ],
)
def test_forces_in_a_solvent_are_the_derivative_of_the_energy(model: Any, charge: int) -> None:
    level = TIGHT.model_copy(update={"solvent": Solvent(model=model)})
    test_forces_are_the_derivative_of_the_energy("H2O", charge, charge, level)


def test_provenance_tells_how_the_label_was_made() -> None:
    label = compute(Frame.from_atoms(molecule("NH2"), spin=1), COARSE)
    assert label.provenance["scf_rung"] == "diis"
    assert label.provenance["scf_cycles"]["diis"] > 1
    assert label.provenance["versions"]["pyscf"]
    assert label.provenance["spin_square"] == pytest.approx(0.75, abs=0.02)
    assert label.provenance["level"]["xc"] == "PBE"
    seconds = sum(label.provenance[f"{stage}_seconds"] for stage in ("scf", "gradient", "stability"))
    assert label.provenance["seconds"] == pytest.approx(seconds)


def test_dispersion_changes_the_energy() -> None:
    frame = Frame.from_atoms(molecule("H2O"))
    plain = compute(frame, COARSE).energy
    corrected = compute(frame, COARSE.model_copy(update={"dispersion": "d3bj"})).energy
    assert -0.05 < corrected - plain < -0.005  # -0.0098 eV for water, s-dftd3


def test_a_solvent_keeps_the_dispersion_and_stabilises_a_polar_molecule() -> None:
    frame = Frame.from_atoms(molecule("H2O"))
    solvated = COARSE.model_copy(update={"solvent": Solvent(name="water")})
    energy = compute(frame, solvated).energy
    assert -0.5 < energy - compute(frame, COARSE).energy < -0.1
    in_toluene = COARSE.model_copy(update={"solvent": Solvent(name="toluene")})
    assert energy < compute(frame, in_toluene).energy
    corrected = compute(frame, solvated.model_copy(update={"dispersion": "d3bj"})).energy
    assert corrected - energy == pytest.approx(-0.0098, abs=1e-4)


def test_a_core_potential_replaces_core_electrons() -> None:
    hcl = Frame.from_atoms(molecule("HCl"))
    small_core = COARSE.model_copy(update={"basis": LANL2DZ, "ecp": {"Cl": "lanl2dz"}})
    assert -500 < compute(hcl, small_core).energy < -400  # 8 electrons; all 18 have -12500 eV


def test_single_atoms_can_be_labelled_also_with_a_core_potential() -> None:
    assert np.abs(compute(Frame.of([8], [[0, 0, 0]], spin=2), COARSE).forces).max() < 1e-4
    iodide = compute(Frame.of([53], [[0, 0, 0]], charge=-1), COARSE)
    assert -8200 < iodide.energy < -8000  # 25 electrons and a core potential, not 53 electrons


def test_an_unconverged_scf_is_never_a_label() -> None:
    frame, level = Frame.from_atoms(molecule("H2O")), COARSE.model_copy(update={"max_scf_cycles": 1})
    with pytest.raises(NotConvergedError, match=r"diis \(1 cycles\), level_shift .*second_order.*smeared"):
        compute(frame, level)
    failure = attempt(frame, level)
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "not_converged"
    assert failure.frame_id == frame.id
    assert "max_scf_cycles" in failure.advice


def test_an_impossible_frame_is_a_failure_that_says_why() -> None:
    failure = attempt(Frame.from_atoms(molecule("H2O"), spin=1), COARSE)
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "invalid_frame"
    assert "spin: 0" in failure.message


def test_pyscf_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    assert isinstance(attempt(Frame.from_atoms(molecule("H2")), COARSE), Label)
    assert capfd.readouterr().out == ""


def test_a_published_label_is_reproduced() -> None:
    """First structure of rMD17's ethanol, training split 1 (Christensen and von Lilienfeld 2020)."""
    frame = Frame.of([6, 6, 8, 1, 1, 1, 1, 1, 1], RMD17_POSITIONS)
    label = compute(frame, PySCFLevel())
    assert np.abs(label.forces - RMD17_FORCES).mean() < 0.4e-3
    assert label.energy == pytest.approx(RMD17_ENERGY, abs=2e-3)


RMD17_ENERGY = -4209.783455
RMD17_POSITIONS = [
    [-0.17406277, -0.48797864, 0.0185579],
    [-0.98570278, 0.68695664, 0.58412528],
    [1.06846394, -0.16863939, -0.50269058],
    [0.16712676, -1.19985031, 0.84958249],
    [-0.93496191, -0.92263607, -0.68150202],
    [-1.75179348, 0.29946017, 1.2842646],
    [-0.2072526, 1.35456114, 1.05486243],
    [-1.47331516, 1.17441302, -0.27787521],
    [1.05895494, -0.40161254, -1.43156577],
]
RMD17_FORCES = [
    [-0.76525959, -1.13342988, 1.76516838],
    [1.46915218, 0.02024173, -0.06583469],
    [0.70948953, 0.96258928, -0.80698144],
    [-1.40142177, 0.1545432, -0.3544603],
    [0.77472366, -0.76527717, -0.09747571],
    [0.0700259, 0.25289782, 0.12011222],
    [-0.91427342, 0.01068309, 0.05924536],
    [-0.10627331, 0.47679596, 0.14178065],
    [0.16383676, 0.02095603, -0.76155452],
]
