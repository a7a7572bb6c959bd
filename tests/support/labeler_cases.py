"""Every labeler with a frame and settings, for the contract that all of them keep."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.build import bulk
from pydantic import TypeAdapter

from labeling.level import LevelOfTheory
from potential.data.frame import Frame
from potential.data.molecules import molecule

LEVELS: TypeAdapter[LevelOfTheory] = TypeAdapter(LevelOfTheory)


CHARGED = molecule("H2O", charge=1, spin=1)


def crystal(name: str, *, repeat: tuple[int, int, int] = (1, 1, 1), **how: Any) -> Frame:
    atoms = bulk(name, **how) * repeat
    atoms.rattle(0.05, seed=1)
    return Frame.from_atoms(atoms)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A level as a YAML file has it, and a frame off its minimum.

    Attributes:
        same: settings that do not change the numbers.
        others: settings that change them.
        tolerance: of forces, eV/Angstrom, and of stress, 0.1 of it in eV/Angstrom^3.
        refused: a frame that the level cannot label.
        charged: a frame with a charge, for levels that know it; triplet: one with two unpaired electrons.
    """

    level: dict[str, Any]
    frame: Frame
    same: tuple[dict[str, Any], ...]
    others: tuple[dict[str, Any], ...]
    refused: Frame
    tolerance: float = 1e-4
    charged: Frame | None = None
    triplet: Frame | None = None

    def read(self, **changes: Any) -> Any:
        return LEVELS.validate_python({**self.level, **changes})


def moved(name: str, **how: Any) -> Frame:
    frame = molecule(name, **how)
    return frame.moved(frame.positions + np.random.default_rng(0).normal(0, 0.05, frame.positions.shape))


COPPER = crystal("Cu", repeat=(2, 2, 2), cubic=True)


HYDROGEN = Frame.of(
    [1, 1],
    [[0.1, 0.2, 0.3], [0.25, 0.3, 1.05]],
    cell=[[2.6, 0.1, 0], [0, 2.7, 0.1], [0.1, 0, 3.0]],
    pbc=True,
)


LJ = {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.5, "smooth": True}


CASES = {
    "PySCF, molecule": Case(
        level={"labeler": "pyscf", "basis": "sto-3g", "grid_level": 2, "conv_tol_hartree": 1e-11},
        frame=moved("H2O"),
        same=({"basis": "STO3G"}, {"max_scf_cycles": 99}),
        others=({"xc": "BLYP"}, {"basis": "6-31G"}, {"density_fit": False}),
        refused=COPPER,
        charged=CHARGED,
        triplet=molecule("H2O", spin=2),
    ),
    "PySCF, crystal": Case(
        level={
            "labeler": "pyscf_periodic",
            "xc": "lda,pw",
            "basis": "gth-szv",
            "k_mesh": [1, 1, 1],
            "ke_cutoff_hartree": 120.0,
            "precision": 1e-7,
            "conv_tol_hartree": 1e-11,
        },
        frame=HYDROGEN,
        same=({"basis": "GTH-SZV", "pseudopotential": "gth-pade", "max_scf_cycles": 99},),
        others=({"xc": "PBE"}, {"smearing": "fermi", "smearing_width_eV": 9.0}),
        refused=molecule("H2O"),
        triplet=dataclasses.replace(HYDROGEN, spin=2),
    ),
    "Lennard-Jones": Case(
        level={"labeler": "lennard_jones"},
        frame=crystal("Ar", a=5.3, cubic=True),
        same=({"epsilon_eV": 0.0104},),
        others=({"epsilon_eV": 0.02}, {"cutoff_angstrom": 7.0}),
        refused=Frame.of([], np.zeros((0, 3))),
    ),
    "ASE, EMT": Case(
        level={"labeler": "ase", "calculator": "ase.calculators.emt.EMT"},
        frame=COPPER,
        same=({"parameters": {}},),
        others=(),
        refused=molecule("H2O"),
    ),
    "ASE, Lennard-Jones": Case(
        level={"labeler": "ase", "calculator": "ase.calculators.lj.LennardJones", "parameters": LJ},
        frame=crystal("Ar", a=5.3, cubic=True),
        same=({"parameters": {**LJ, "epsilon": 1.04e-2}},),
        others=({"parameters": {**LJ, "smooth": False}}, {"parameters": {**LJ, "rc": 7}}),
        refused=Frame.of([18], np.zeros((1, 3)), charge=1),
    ),
    "ASE, GFN2-xTB": Case(
        level={"labeler": "ase", "calculator": "tblite.ase.TBLite", "parameters": {"accuracy": 0.01}},
        frame=moved("CH3OH"),
        same=({"parameters": {"accuracy": 0.01, "method": "GFN2-xTB", "max_iterations": 99}},),
        others=({"parameters": {"method": "GFN1-xTB"}}, {"parameters": {"electronic_temperature": 5000}}),
        refused=crystal("C"),
        tolerance=3e-4,
        charged=molecule("CH3OH", charge=1, spin=1),
        triplet=molecule("CH3OH", spin=2),
    ),
}
