"""Levels of theory: what makes two labels comparable. Frozen, and hashed into a key.

A dataset holds labels of one level only, and the label store keeps one label per frame and level, so
the key covers everything that decides the numbers, and nothing that does not (SCF cycles allowed).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from labeling import pyscf_support
from potential.config import Config
from potential.frame import Frame
from potential.structures import check_frame


class PySCFLevel(Config):
    """Kohn-Sham DFT of a molecule with PySCF; RKS for closed shells, UKS where the frame has spin.

    The defaults reproduce the PBE/def2-SVP labels of rMD17 to 0.3 meV/Angstrom.
    """

    labeler: Literal["pyscf"] = "pyscf"
    xc: Annotated[str, Field(description="functional, PySCF's name: PBE, r2SCAN, B3LYP, wB97X-D3BJ")] = "PBE"
    basis: Annotated[str, Field(description="Gaussian basis, PySCF's name")] = "def2-SVP"
    dispersion: Annotated[
        Literal["d3bj", "d3zero", "d4"] | None, Field(description="dispersion correction")
    ] = None
    density_fit: Annotated[bool, Field(description="density fitting of the Coulomb integrals")] = True
    grid_level: Annotated[int, Field(ge=1, le=9, description="PySCF's integration grid, 1 to 9")] = 3
    conv_tol_hartree: Annotated[PositiveFloat, Field(le=1e-6, description="energy change at SCF's end")] = (
        1e-9
    )
    max_scf_cycles: Annotated[PositiveInt, Field(description="SCF cycles on each rung of the ladder")] = 100

    @model_validator(mode="after")
    def _known_to_pyscf(self) -> PySCFLevel:
        pyscf_support.check_functional(self.xc, self.dispersion)
        pyscf_support.check_basis(self.basis)
        return self

    @property
    def name(self) -> str:
        """As a chemist writes it, e.g. `PBE-D3BJ/def2-SVP`."""
        return f"{self.xc}{'' if self.dispersion is None else '-' + self.dispersion.upper()}/{self.basis}"

    @property
    def key(self) -> str:
        """12 hex digits; equal for spellings that PySCF reads as the same (PBE, pbe)."""
        content = self.model_dump(exclude={"max_scf_cycles"})
        content["xc"] = self.xc.lower().replace("_", "-")
        content["basis"] = self.basis.lower().replace("-", "").replace("_", "")
        return _hash(content)

    def check(self, frame: Frame) -> None:
        """Raise ValueError, naming the value and the fix, if this level cannot label `frame`."""
        if any(frame.pbc):
            raise ValueError(
                f"{frame} is periodic (pbc {frame.pbc}) and {self.name} with `labeler: pyscf` is a level for "
                "molecules; set pbc to False if it is one in a box"
            )
        if missing := pyscf_support.elements_without_basis(self.basis, frame.symbols):
            raise ValueError(
                f"basis {self.basis} has no functions for {', '.join(missing)} in {frame.formula}; "
                "choose a basis that covers them (def2-SVP: H to Rn without the f elements)"
            )
        check_frame(frame)
        if frame.numbers.sum() == frame.charge:
            raise ValueError(f"{frame.formula} with charge {frame.charge} has no electrons; lower the charge")


class LennardJonesLevel(Config):
    """Pair potential 4 eps ((sigma/r)^12 - (sigma/r)^6) between all atoms, whatever their element.

    The cheap twin of the quantum chemistry levels: the whole campaign runs on it in seconds. The
    defaults are argon's. Brought smoothly to zero at the cutoff.
    """

    labeler: Literal["lennard_jones"] = "lennard_jones"
    epsilon_eV: Annotated[PositiveFloat, Field(description="depth of the well")] = 0.0104
    sigma_angstrom: Annotated[PositiveFloat, Field(description="distance where the energy is zero")] = 3.40
    cutoff_angstrom: PositiveFloat = 8.5

    @property
    def name(self) -> str:
        return f"Lennard-Jones(epsilon {self.epsilon_eV:g} eV, sigma {self.sigma_angstrom:g} A)"

    @property
    def key(self) -> str:
        """12 hex digits."""
        return _hash(self.model_dump())

    def check(self, frame: Frame) -> None:
        """Raise ValueError if the frame has no atoms; any element, charge and cell is accepted."""
        if len(frame) == 0:
            raise ValueError("the frame has no atoms; give it at least one")


LevelOfTheory = Annotated[PySCFLevel | LennardJonesLevel, Field(discriminator="labeler")]


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
