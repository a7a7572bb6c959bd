"""Levels of theory to start from. Each is a function; what it returns is spelled out in the YAML.

Cost is given for one label on one core: of ethanol (9 atoms), or of diamond.
"""

from __future__ import annotations

from collections.abc import Callable

from labeling.level import PySCFLevel
from labeling.periodic_level import PeriodicLevel
from labeling.solvent import Solvent


def cheap() -> PySCFLevel:
    """To try out a campaign, and for benchmarks: PBE/def2-SVP, that of rMD17.

    3 s.
    """
    return PySCFLevel(grid_level=3)


def production() -> PySCFLevel:
    """For molecules near equilibrium and their conformers, closed shells: r2SCAN-D4/def2-TZVP.

    24 s. Ehlert et al., J. Chem. Phys. 154, 061101 (2021). A meta-GGA needs the default grid: on level 3
    its forces are off by 0.6 meV/Angstrom, on level 4 by 0.14.
    """
    return PySCFLevel(xc="r2SCAN", dispersion="d4", basis="def2-TZVP")


def hybrid() -> PySCFLevel:
    """For reactions, barriers, charge transfer and hydrogen bonds: wB97X-D3BJ/def2-TZVP.

    12 s. With exact exchange the cost grows faster with the molecule than that of the others.
    """
    return PySCFLevel(xc="wB97X-D3BJ", basis="def2-TZVP")


def open_shell() -> PySCFLevel:
    """For radicals, stretched bonds and transition metals: PBE0-D3BJ/def2-SVP that leaves unstable states.

    20 s for the cation.
    """
    return PySCFLevel(xc="PBE0", dispersion="d3bj", stability=True)


def solvated() -> PySCFLevel:
    """For ions and polar molecules in water, without water molecules: PBE0-D3BJ/def2-SVP in SMD water.

    36 s.
    """
    return PySCFLevel(xc="PBE0", dispersion="d3bj", solvent=Solvent(name="water", model="SMD"))


def cheap_crystal() -> PeriodicLevel:
    """To try out a campaign on a crystal: LDA/gth-szv at the Gamma point.

    31 s for 8 atoms. The net force of 8 strained frames was at most 4 meV/Angstrom; the checks allow 5.
    """
    return PeriodicLevel(xc="lda,pw", basis="gth-szv", k_mesh=(1, 1, 1), ke_cutoff_hartree=240.0)


def crystal() -> PeriodicLevel:
    """For insulating crystals of up to about ten atoms: PBE/gth-dzvp-molopt-sr, 2x2x2 k-points.

    2 minutes for 2 atoms. Converge k_mesh and ke_cutoff_hartree for the cell at hand; metals need smearing.
    """
    return PeriodicLevel(ke_cutoff_hartree=240.0)


PRESETS: dict[str, Callable[[], PySCFLevel | PeriodicLevel]] = {
    preset.__name__: preset
    for preset in (cheap, production, hybrid, open_shell, solvated, cheap_crystal, crystal)
}


def advice() -> str:
    """One line per preset: its name and when to use it."""
    return "\n".join(f"{name:<14} {(make.__doc__ or '').splitlines()[0]}" for name, make in PRESETS.items())
