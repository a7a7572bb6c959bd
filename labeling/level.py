"""Levels of theory: what makes two labels comparable. Frozen, and hashed into a key.

A dataset holds labels of one level only, and the label store keeps one label per frame and level, so
the key covers everything that decides the numbers, and nothing that does not (SCF cycles allowed).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from labeling import pyscf_support
from labeling.abilities import Abilities
from labeling.ase_level import AseLevel
from labeling.foreign_level import ForeignLevel
from labeling.level_key import level_key
from labeling.periodic_level import PeriodicLevel
from labeling.pyscf_names import check_texts
from labeling.recorded import is_recorded
from labeling.solvent import Solvent
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.plausibility import check_frame

OFF_BY_DEFAULT = ("ecp", "auxbasis", "solvent", "stability")


class PySCFLevel(Config):
    """Kohn-Sham DFT of a molecule with PySCF; RKS for closed shells, UKS where the frame has spin.

    The defaults reproduce the forces of rMD17 (PBE/def2-SVP) to 0.1 meV/Angstrom for ethanol and 0.3 for
    aspirin; grid level 3, in two thirds of the time, to 0.4 and 0.6.
    """

    can: ClassVar[Abilities] = Abilities(
        stress=False, spin=True, charge=True, threads=True, second_guess=True
    )

    labeler: Literal["pyscf"] = "pyscf"
    xc: Annotated[str, Field(description="functional, PySCF's name: PBE, r2SCAN, B3LYP, wB97X-D3BJ")] = "PBE"
    basis: Annotated[
        str | dict[str, str],
        Field(description="Gaussian basis, PySCF's name; per element: {default: def2-SVP, I: def2-TZVP}"),
    ] = "def2-SVP"
    ecp: Annotated[
        dict[str, str | None] | None,
        Field(description="core potentials by element, e.g. {Cr: lanl2dz}; null: those of the basis"),
    ] = None
    dispersion: Annotated[
        Literal["d3bj", "d3zero", "d4"] | None, Field(description="dispersion correction")
    ] = None
    density_fit: Annotated[bool, Field(description="density fitting of the Coulomb integrals")] = True
    auxbasis: Annotated[
        str | dict[str, str] | None,
        Field(description="fitting basis, e.g. def2-universal-jkfit; null: PySCF's for basis and xc"),
    ] = None
    solvent: Annotated[
        Solvent | None, Field(description="implicit solvent, e.g. {name: water, model: SMD}; null: vacuum")
    ] = None
    grid_level: Annotated[int, Field(ge=1, le=9, description="PySCF's integration grid, 1 to 9")] = 4
    conv_tol_hartree: Annotated[
        float, Field(ge=1e-14, le=1e-6, description="energy change at SCF's end; rounding alone makes 1e-14")
    ] = 1e-9
    stability: Annotated[
        bool | Literal["restricted"],
        Field(
            description="leave unstable SCF solutions for the stable one, closed shells also for a broken "
            "symmetry (UKS); costs two more labels. restricted: closed shells stay closed"
        ),
    ] = False
    max_scf_cycles: Annotated[
        int, Field(ge=1, le=10_000, description="SCF cycles on each rung of the ladder; at most 10000")
    ] = 100

    @field_validator("stability", mode="before")
    @classmethod
    def _as_written(cls, stability: object, info: Any) -> object:
        """Written is `unrestricted`: a label that says `true` is from when closed shells stayed closed."""
        if stability is True and is_recorded(info):
            return "restricted"
        return True if stability == "unrestricted" else stability

    @field_serializer("stability")
    def _to_write(self, stability: bool | Literal["restricted"]) -> bool | str:
        return "unrestricted" if stability is True else stability

    @model_validator(mode="after")
    def _known_to_pyscf(self, info: Any) -> PySCFLevel:
        check_texts(xc=self.xc, basis=self.basis, ecp=self.ecp, auxbasis=self.auxbasis)
        for field, choice in (("basis", self.basis), ("auxbasis", self.auxbasis)):
            if isinstance(choice, dict) and "default" not in choice:
                raise ValueError(
                    f"{field}: {choice} has no `default`; write {{default: def2-SVP, I: def2-TZVP}}"
                )
        if is_recorded(info):
            return self
        pyscf_support.check_functional(self.xc, self.dispersion)
        pyscf_support.check_basis(self.basis)
        pyscf_support.check_core_potentials(self.ecp or {})
        if self.auxbasis is not None:
            if not self.density_fit:
                raise ValueError(f"auxbasis: {self.auxbasis!r} is for density fitting; set density_fit: true")
            pyscf_support.check_basis(self.auxbasis, "auxbasis")
        return self

    @property
    def name(self) -> str:
        """As a chemist writes it, e.g. `PBE-D3BJ/def2-SVP, SMD(water)`."""
        basis = self.basis if isinstance(self.basis, str) else self.basis["default"]
        others = [] if isinstance(self.basis, str) else [i for i in self.basis.items() if i[0] != "default"]
        return (
            f"{self.xc}{'' if self.dispersion is None else '-' + self.dispersion.upper()}/{basis}"
            + (f" ({', '.join(f'{symbol}: {name}' for symbol, name in others)})" if others else "")
            + (f", {self.solvent.model}({self.solvent.name})" if self.solvent else "")
        )

    @property
    def key(self) -> str:
        """12 hex digits; equal for spellings that PySCF reads as the same (PBE, pbe)."""
        content = settings(self)
        if self.stability == "restricted":
            content["stability"] = True  # the key from before there was another
        content["xc"] = self.xc.lower().replace("_", "-")
        for field in ("basis", "auxbasis", "ecp"):
            if field in content:
                content[field] = _normalised(content[field])
        return level_key(content)

    def __hash__(self) -> int:
        return hash(self.key)

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
        if self.auxbasis is not None and (
            missing := pyscf_support.elements_without_basis(self.auxbasis, frame.symbols)
        ):
            raise ValueError(
                f"auxbasis {self.auxbasis} has no functions for {', '.join(missing)} in {frame.formula}; "
                "write `auxbasis: null`, for which PySCF chooses"
            )


class LennardJonesLevel(Config):
    """Pair potential 4 eps ((sigma/r)^12 - (sigma/r)^6) between all atoms, whatever their element.

    The cheap twin of the quantum chemistry levels: the whole campaign runs on it in seconds. The
    defaults are argon's. Brought smoothly to zero at the cutoff.
    """

    can: ClassVar[Abilities] = Abilities(
        stress=True, spin=False, charge=False, threads=False, second_guess=False
    )

    labeler: Literal["lennard_jones"] = "lennard_jones"
    epsilon_eV: Annotated[
        float, Field(ge=1e-9, le=1000, description="depth of the well, 1e-9 to 1000: noise, and no bond")
    ] = 0.0104
    sigma_angstrom: Annotated[
        float, Field(ge=1e-3, le=100, description="distance where the energy is zero; 0.001 to 100")
    ] = 3.40
    cutoff_angstrom: Annotated[
        float, Field(ge=1e-3, le=1000, description="where the energy has come to zero; 0.001 to 1000")
    ] = 8.5

    @property
    def name(self) -> str:
        return f"Lennard-Jones(epsilon {self.epsilon_eV:g} eV, sigma {self.sigma_angstrom:g} A)"

    @property
    def key(self) -> str:
        """12 hex digits."""
        return level_key(self.model_dump())

    def check(self, frame: Frame) -> None:
        """Raise ValueError if the frame has no atoms; any element, charge and cell is accepted."""
        if len(frame) == 0:
            raise ValueError("the frame has no atoms; give it at least one")


LevelOfTheory = Annotated[
    PySCFLevel | PeriodicLevel | LennardJonesLevel | AseLevel | ForeignLevel, Field(discriminator="labeler")
]


def settings(level: Config) -> dict[str, Any]:
    """All that decides the numbers of a level of theory, as JSON values.

    What came with later releases is left out where it is off, so that the keys, and with them the
    labels, of the levels that were there before stay what they are.
    """
    values = level.model_dump(mode="json", exclude={"max_scf_cycles"})
    return {field: value for field, value in values.items() if value or field not in OFF_BY_DEFAULT}


def _normalised(choice: Any) -> Any:
    """Basis names as PySCF compares them; elements that are given the default anyway are dropped."""
    if not isinstance(choice, dict):
        return choice.lower().replace("-", "").replace("_", "") if isinstance(choice, str) else choice
    names = {symbol: _normalised(name) for symbol, name in choice.items()}
    if "default" not in names:
        return names
    others = {symbol: name for symbol, name in names.items() if name != names["default"]}
    return {**others, "default": names["default"]} if others else names["default"]
