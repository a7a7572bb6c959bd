"""The level of theory of an ASE calculator: its import path, from a table, and its parameters."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from labeling.abilities import Abilities
from labeling.ase_calculators import CALCULATORS, Entry
from labeling.level_key import level_key
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.plausibility import check_frame, thickness


class AseLevel(Config):
    """A calculator that ASE can call, for teachers, quick trials and tests.

    The key covers the calculator and all its parameters, defaults included. It does not cover the version
    of its package, as PySCF's is not in the key of the other levels: the method is what the level says,
    and a store that is read where another version is installed, or none, keeps its keys. The version is in
    each label's provenance.
    """

    labeler: Literal["ase"] = "ase"
    calculator: Annotated[
        str, Field(description=f"import path, one of {', '.join(CALCULATORS)}", max_length=100)
    ]
    parameters: Annotated[
        dict[str, bool | int | float | str],
        Field(description="of the calculator, e.g. {method: GFN2-xTB}; what is left out has its default"),
    ] = {}  # noqa: RUF012 - pydantic copies it

    @model_validator(mode="after")
    def _in_the_table(self) -> AseLevel:
        if self.calculator not in CALCULATORS:
            near = difflib.get_close_matches(self.calculator, CALCULATORS, n=1, cutoff=0.3)
            raise ValueError(
                f"calculator: {self.calculator!r} is not in the table of those that may be used; write "
                f"{near[0] if near else 'one of ' + ', '.join(CALCULATORS)}"
            )
        allowed = self.entry.parameters
        try:
            allowed.model_validate(self.parameters, strict=True)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))[:40]}: {e['msg']}" for e in error.errors())
            known = ", ".join(allowed.model_fields) or "none"
            raise ValueError(f"parameters of {self.calculator}: {faults}; it takes {known}") from error
        return self

    @property
    def entry(self) -> Entry:
        return CALCULATORS[self.calculator]

    @property
    def can(self) -> Abilities:
        return self.entry.can

    @property
    def complete(self) -> dict[str, Any]:
        """The parameters with those that were left out."""
        return self.entry.parameters.model_validate(self.parameters, strict=True).model_dump()

    @property
    def name(self) -> str:
        """The class and what was set, e.g. `TBLite(method=GFN2-xTB)`."""
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.calculator.rpartition('.')[2]}({given})"

    @property
    def key(self) -> str:
        """12 hex digits; equal for parameters left out and for those given their default."""
        decisive = {k: v for k, v in self.complete.items() if k not in self.entry.without_effect}
        return level_key({"labeler": self.labeler, "calculator": self.calculator, "parameters": decisive})

    def __hash__(self) -> int:
        return hash(self.key)

    def check(self, frame: Frame) -> None:
        """Raise ValueError, naming the value and the fix, if this level cannot label `frame`.

        Where the calculator knows no spin, that of the frame is ignored.
        """
        if len(frame) == 0:
            raise ValueError("the frame has no atoms; give it at least one")
        if self.can.spin:
            check_frame(frame)
        if frame.charge and not self.can.charge:
            raise ValueError(
                f"{frame.formula} has charge {frame.charge:+d}, of which {self.name} knows nothing; "
                "write charge: 0"
            )
        elements = self.entry.elements
        if elements is not None and (missing := sorted(set(frame.symbols) - elements)):
            raise ValueError(
                f"{self.name} has no parameters for {', '.join(missing)} in {frame.formula}; it has "
                f"{', '.join(sorted(elements))}"
            )
        self._check_cell(frame)

    def _check_cell(self, frame: Frame) -> None:
        thinnest = thickness(frame)
        if not thinnest >= self.entry.min_cell_angstrom:
            raise ValueError(
                f"the cell of {frame.formula} is {thinnest:.1f} A thin, and {self.name} has the Gamma point "
                f"only; make it a supercell of at least {self.entry.min_cell_angstrom:g} A"
            )
