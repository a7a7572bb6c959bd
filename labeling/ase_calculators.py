"""The calculators that `labeler: ase` may use: nothing that is not in this table is imported.

An entry says where a calculator is, which package it needs, which parameters a level of theory may set (all
of them plain numbers, words or switches, checked here), and what it can. A new calculator is a new entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from labeling.abilities import Abilities
from potential.data.config import Config
from potential.data.frame import Frame


class EMTParameters(Config):
    """Effective medium theory of Jacobsen, Stoltze and Norskov, Surf. Sci. 366, 394 (1996)."""


class LennardJonesParameters(Config):
    """ASE's own defaults are in reduced units, so that sigma, epsilon and rc have to be said."""

    # No atoms are 100 A wide, no pair is bound by 10,000 eV, and a sum over 1000 A has a billion terms.
    sigma: Annotated[float, Field(ge=1e-3, le=100)]
    epsilon: Annotated[float, Field(ge=1e-9, le=1e4)]
    rc: Annotated[float, Field(ge=1e-3, le=1000)]
    smooth: bool = False


class TBLiteParameters(Config):
    """GFN1-xTB and GFN2-xTB, J. Chem. Theory Comput. 13, 1989 (2017) and 15, 1652 (2019)."""

    method: Literal["GFN2-xTB", "GFN1-xTB", "IPEA1-xTB"] = "GFN2-xTB"
    # The range of accuracies that xtb itself allows; 1e5 K is 9 eV, beyond every gap that xTB describes.
    accuracy: Annotated[float, Field(ge=1e-4, le=1000)] = 1.0
    electronic_temperature: Annotated[float, Field(ge=1e-3, le=1e5)] = 300.0
    max_iterations: Annotated[int, Field(gt=0, le=10_000)] = 250


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One calculator.

    Attributes:
        distribution: the package to install, whose version is kept in the label's provenance.
        parameters: what may be set, with the types and the calculator's own defaults.
        can: what its labels hold and depend on.
        without_effect: parameters that do not decide the numbers, and are not in the level's key.
        elements: symbols that it has; None: all.
        min_cell_angstrom: cells that are thinner, it cannot treat.
        fixed: what it is given besides.
        of_frame: what it is given of the frame.
    """

    distribution: str
    parameters: type[Config]
    can: Abilities
    without_effect: frozenset[str] = frozenset()
    elements: frozenset[str] | None = None
    min_cell_angstrom: float = 0.0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    of_frame: Callable[[Frame], dict[str, Any]] = field(default=lambda frame: {})


CLASSICAL = Abilities(stress=True, spin=False, charge=False, threads=False, second_guess=False)

CALCULATORS: dict[str, Entry] = {
    "ase.calculators.emt.EMT": Entry(
        distribution="ase",
        parameters=EMTParameters,
        can=CLASSICAL,
        elements=frozenset({"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"}),
    ),
    "ase.calculators.lj.LennardJones": Entry(
        distribution="ase", parameters=LennardJonesParameters, can=CLASSICAL
    ),
    "tblite.ase.TBLite": Entry(
        distribution="tblite",
        parameters=TBLiteParameters,
        can=Abilities(stress=True, spin=True, charge=True, threads=True, second_guess=False),
        without_effect=frozenset({"max_iterations"}),
        # It has the Gamma point only: diamond's 2-atom cell lies 12 eV/atom above its 8-atom cell.
        min_cell_angstrom=8.0,
        fixed={"verbosity": 0},
        of_frame=lambda frame: {"charge": frame.charge, "multiplicity": frame.spin + 1},
    ),
}
"""Import path to entry."""
