"""Levels of theory to start from. Each is a function; what it returns is spelled out in the YAML.

Cost is given for one label of ethanol (9 atoms) on one core.
"""

from __future__ import annotations

from collections.abc import Callable

from labeling.level import PySCFLevel
from labeling.solvent import Solvent


def cheap() -> PySCFLevel:
    """To try out a campaign, and for benchmarks: PBE/def2-SVP, that of rMD17. Seconds."""
    return PySCFLevel(grid_level=3)


def production() -> PySCFLevel:
    """For molecules near equilibrium and their conformers, closed shells: r2SCAN-D4/def2-TZVP. A minute.

    Ehlert et al., J. Chem. Phys. 154, 061101 (2021). A meta-GGA needs the default grid: on level 3
    its forces are off by 0.6 meV/Angstrom, on level 4 by 0.14.
    """
    return PySCFLevel(xc="r2SCAN", dispersion="d4", basis="def2-TZVP")


def hybrid() -> PySCFLevel:
    """For reactions, barriers, charge transfer and hydrogen bonds: wB97X-D3BJ/def2-TZVP. Minutes."""
    return PySCFLevel(xc="wB97X-D3BJ", basis="def2-TZVP")


def open_shell() -> PySCFLevel:
    """For radicals, stretched bonds and transition metals: PBE0-D3BJ/def2-SVP that leaves unstable states.

    Half a minute.
    """
    return PySCFLevel(xc="PBE0", dispersion="d3bj", stability=True)


def solvated() -> PySCFLevel:
    """For ions and polar molecules in water, without water molecules: PBE0-D3BJ/def2-SVP in SMD water."""
    return PySCFLevel(xc="PBE0", dispersion="d3bj", solvent=Solvent(name="water", model="SMD"))


PRESETS: dict[str, Callable[[], PySCFLevel]] = {
    preset.__name__: preset for preset in (cheap, production, hybrid, open_shell, solvated)
}


def advice() -> str:
    """One line per preset: its name and when to use it."""
    return "\n".join(f"{name:<11} {(make.__doc__ or '').splitlines()[0]}" for name, make in PRESETS.items())
