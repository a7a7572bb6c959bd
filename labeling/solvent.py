"""Implicit solvents whose PySCF gradient is the derivative of its energy.

Checked by finite differences with RKS and UKS, grid response included (PySCF 2.14): the models below
miss it by less than 0.01 meV/Angstrom. SS(V)PE, which PySCF has too, misses it by 0.2 for an open shell
and is left out; ddPCM has no gradient.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from labeling.pyscf_names import check_texts
from labeling.recorded import is_recorded
from potential.data.config import Config


class Solvent(Config):
    """A solvent as a continuum around the molecule; its dielectric constant is found by its name."""

    name: Annotated[str, Field(description="Minnesota solvent database: water, acetonitrile, toluene")] = (
        "water"
    )
    model: Annotated[
        Literal["IEF-PCM", "C-PCM", "COSMO", "ddCOSMO", "SMD"],
        Field(description="electrostatics alone, or SMD with cavity and dispersion too"),
    ] = "IEF-PCM"

    @field_validator("name")
    @classmethod
    def _in_database(cls, name: str, info: Any) -> str:
        check_texts(name=name)
        if is_recorded(info):
            return name.lower()
        known = _database()
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5) or ["water", "toluene"]
            raise ValueError(
                f"{name!r} is not in the Minnesota solvent database; write one of {', '.join(near)}"
            )
        return name.lower()

    @property
    def dielectric_constant(self) -> float:
        return float(_database()[self.name][5])

    def around(self, scf: Any) -> Any:
        """The PySCF mean field `scf` in this solvent."""
        match self.model:
            case "SMD":
                solvated = scf.SMD()
                solvated.with_solvent.solvent = self.name
            case "ddCOSMO":
                solvated = scf.ddCOSMO()
                solvated.with_solvent.eps = self.dielectric_constant
            case method:
                solvated = scf.PCM()
                solvated.with_solvent.method = method
                solvated.with_solvent.eps = self.dielectric_constant
        solvated.with_solvent.verbose = 0
        return solvated


def _database() -> dict[str, list[float]]:
    from pyscf.solvent.smd import solvent_db

    return solvent_db  # type: ignore[no-any-return]
