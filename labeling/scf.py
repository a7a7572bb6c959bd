"""The SCF of a molecule: a ladder of methods, each more robust and more expensive than the last.

    diis          Pulay's extrapolation, from superposed atomic densities
    level_shift   virtual orbitals shifted up and densities damped, where DIIS oscillates
    second_order  Newton steps with a trust region (Sun, arXiv:1610.08423)
    smeared       a Fermi distribution at 0.02 Hartree for the guess only, then second_order

Newton steps also converge to excited states, where an occupied orbital lies above an empty one; such a
solution is left for the next rung, and returned only where no rung finds another.

The first rung starts from a density that was converged on a coarse integration grid, whose cycles cost a
fifth of those on level 4 (so do Turbomole's m grids); the energy and the forces are those of the level's
own grid alone.

Where two states lie close, an SCF may end in the upper one. `stability` leaves saddle points of the
energy along the orbital rotation that lowers it, a closed shell (RKS) also for the broken symmetry (UKS);
see `labeling.stability`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from labeling import pyscf_support
from labeling.failure import NotConvergedError
from labeling.level import PySCFLevel
from labeling.stability import (
    UNSTABLE_HARTREE,
    lowest_rotation,
    parted_spins,
    suspicious_gap_hartree,
    turned,
)
from potential.data.frame import Frame

RUNGS = ("diis", "level_shift", "second_order", "smeared")
LEVEL_SHIFT_HARTREE = 0.3
DAMPING = 0.4
SMEARING_HARTREE = 0.02
MAX_INSTABILITIES = 5
COARSE_GRID_LEVEL = 1
COARSE_CONV_TOL_HARTREE = 1e-7
COARSE_MAX_CYCLES = 30
SHARE_OF_MEMORY = 0.25
# A broken symmetry whose energy is no lower has come back to the closed shell.
SAME_ENERGY_HARTREE = 1e-7


def converge(
    frame: Frame, level: PySCFLevel, *, density: Any = None, second_guess: bool = False
) -> tuple[Any, str, dict[str, int]]:
    """Climb the SCF ladder; each rung starts from the last one's density.

    Args:
        density: density matrix to start from, in the basis of `frame`; None: superposed atoms.
        second_guess: start from Hueckel orbitals instead, and leave unstable solutions.

    Returns:
        The converged PySCF mean field, the rung that converged (with `+instability` where it was left
        for a lower state, with `+broken_symmetry` where that is UKS of a closed shell), and the cycles
        spent on each rung.

    Raises:
        NotConvergedError: if no rung converges.
    """
    scf = mean_field(frame, level)
    _keep_integrals(scf)
    if second_guess:
        density = _second_guess(scf)
    cycles: dict[str, int] = {}
    if level.grid_level > COARSE_GRID_LEVEL:
        density = _coarse_density(scf, density, cycles)
    fallback: tuple[Any, str] | None = None
    for rung in RUNGS:
        match rung:
            case "level_shift":
                shift_levels(scf)
            case "second_order":
                scf.level_shift, scf.damp = 0.0, 0.0
                scf = _second_order(scf, level)
            case "smeared":
                density = _smeared_density(_anew(scf, frame, level))
                scf = _second_order(_anew(scf, frame, level), level)
        cycles[rung] = run_counting_cycles(scf, density)
        if scf.converged:
            if fallback is None or scf.e_tot < fallback[0].e_tot:
                fallback = scf, rung
            if gap_hartree(scf) > 0:
                break
        density = scf.make_rdm1()
    if fallback is None:
        raise NotConvergedError(f"{_what(frame, level)}: SCF not converged after {_spent(cycles)}")
    scf, rung = fallback
    if not math.isfinite(gap_hartree(scf)):
        return scf, rung, cycles  # no orbital to turn to
    if level.stability or second_guess:
        scf, left = _leave_instabilities(scf, frame, level, cycles)
        rung += "+instability" * bool(left)
    if level.stability is True and is_closed_shell(scf):
        lower = _broken_symmetry(scf, frame, level, cycles)
        if lower is not None:
            scf, rung = lower, f"{rung}+broken_symmetry"
    return scf, rung, cycles


def gap_hartree(scf: Any) -> float:
    """HOMO-LUMO gap, the smaller of both spins; infinite where every orbital is full or none is."""
    energies, occupations = np.atleast_2d(scf.mo_energy), np.atleast_2d(scf.mo_occ)
    gaps = [
        float(e[occ == 0].min() - e[occ > 0].max())
        for e, occ in zip(energies, occupations, strict=True)
        if (occ == 0).any() and (occ > 0).any()
    ]
    return min(gaps, default=math.inf)


def is_closed_shell(scf: Any) -> bool:
    """Whether it is RKS, not UKS."""
    return bool(np.ndim(scf.mo_occ) == 1)


def spin_stability_hartree(scf: Any) -> float | None:
    """Curvature of a closed shell's energy as its spins part, where the gap leaves that in doubt; else None.

    Negative: a broken-symmetry solution is lower. On grid level 1: it needs no fine grid.
    """
    if not is_closed_shell(scf) or not 0 < gap_hartree(scf) < suspicious_gap_hartree(scf):
        return None
    with _coarse_grid(scf):
        return lowest_rotation(scf, parting_spins=True)[0]


def mean_field(frame: Frame, level: PySCFLevel, *, unrestricted: bool = False) -> Any:
    """PySCF's RKS (spin 0, unless `unrestricted`) or UKS of `frame`, set up and not run."""
    from pyscf import dft, gto

    symbols = frame.symbols
    molecule = gto.M(
        atom=list(zip(symbols, frame.positions.tolist(), strict=True)),
        unit="Angstrom",
        basis=level.basis,
        ecp=pyscf_support.core_potentials(level.basis, level.ecp, symbols),
        charge=frame.charge,
        spin=frame.spin,
        verbose=0,
    )
    scf = dft.UKS(molecule) if frame.spin or unrestricted else dft.RKS(molecule)
    scf.xc = level.xc
    if level.density_fit:
        # After xc is set: it picks the fitting basis by the functional.
        scf = scf.density_fit(auxbasis=level.auxbasis)
    scf.disp = level.dispersion
    if level.solvent is not None:
        scf = level.solvent.around(scf)
    scf.grids.level = level.grid_level
    scf.conv_tol = level.conv_tol_hartree
    scf.max_cycle = level.max_scf_cycles
    # One more cycle after convergence would be without DIIS, a step away from where it was.
    scf.conv_check = False
    scf.chkfile = None
    return scf


def shift_levels(scf: Any) -> None:
    """Set up the rung `level_shift`, with a last cycle without the shift for the orbital energies."""
    scf.level_shift, scf.damp, scf.conv_check = LEVEL_SHIFT_HARTREE, DAMPING, True


def _keep_integrals(scf: Any) -> None:
    """Three-index integrals once, where a part of PySCF's memory holds them.

    Without exact exchange PySCF would form them twice in every SCF cycle.
    """
    from pyscf.df.addons import make_auxmol

    if (fit := getattr(scf, "with_df", None)) is None:
        return
    n, n_fit = scf.mol.nao, make_auxmol(scf.mol, fit.auxbasis).nao
    if 8e-6 * n_fit * n * (n + 1) / 2 < SHARE_OF_MEMORY * scf.max_memory:
        fit.build()


def _coarse_density(scf: Any, density: Any, cycles: dict[str, int]) -> Any:
    """Converged on the coarse grid; `density` again where that fails."""
    from pyscf import lib

    steps = min(COARSE_MAX_CYCLES, scf.max_cycle)
    with _coarse_grid(scf), lib.temporary_env(scf, conv_tol=COARSE_CONV_TOL_HARTREE, max_cycle=steps):
        cycles["coarse"] = run_counting_cycles(scf, density)
    return scf.make_rdm1() if scf.converged else density


def _coarse_grid(scf: Any) -> AbstractContextManager[Any]:
    """A context in which `scf` integrates on a coarse grid."""
    from pyscf import dft, lib

    grid = dft.Grids(scf.mol)
    grid.level = COARSE_GRID_LEVEL
    return lib.temporary_env(scf, grids=grid.build(with_non0tab=True))  # type: ignore[no-any-return]


def _anew(scf: Any, frame: Frame, level: PySCFLevel, *, unrestricted: bool = False) -> Any:
    """The mean field set up again, with the grids and integrals that `scf` has; UKS stays UKS."""
    fresh = mean_field(frame, level, unrestricted=unrestricted or scf.istype("UHF"))
    fresh.grids, fresh.nlcgrids = scf.grids, scf.nlcgrids
    if level.density_fit:
        fresh.with_df = scf.with_df
    return fresh


def run_counting_cycles(scf: Any, density: Any) -> int:
    """Run the SCF; returns the cycles, counted here because not every solver reports them."""
    cycles = 0

    def count(_: Any) -> None:
        nonlocal cycles
        cycles += 1

    scf.callback = count
    scf.kernel(dm0=density)
    scf.callback = None
    return cycles


def _second_order(scf: Any, level: PySCFLevel) -> Any:
    newton = scf.newton()
    newton.verbose, newton.max_cycle = 0, level.max_scf_cycles
    return newton


def _second_guess(scf: Any) -> Any:
    try:
        return scf.get_init_guess(key="huckel")
    except (NotImplementedError, RuntimeError, KeyError, AssertionError):  # elements with a core potential
        return scf.get_init_guess(key="1e")


def _smeared_density(scf: Any) -> Any:
    from pyscf.scf.addons import smearing

    smeared = smearing(scf, sigma=SMEARING_HARTREE, method="fermi")
    smeared.verbose = 0
    smeared.kernel()
    return smeared.make_rdm1()


def _leave_instabilities(
    scf: Any, frame: Frame, level: PySCFLevel, cycles: dict[str, int]
) -> tuple[Any, int]:
    """Follow the orbital rotation that lowers the energy until the solution is stable."""
    for left in range(MAX_INSTABILITIES + 1):
        with _coarse_grid(scf):
            curvature, rotation = lowest_rotation(scf)
        if curvature >= UNSTABLE_HARTREE:
            return scf, left
        density = scf.make_rdm1(turned(scf, rotation), scf.mo_occ)
        scf = _second_order(_anew(scf, frame, level), level)
        cycles["instability"] = cycles.get("instability", 0) + run_counting_cycles(scf, density)
        if not scf.converged:
            break
    raise NotConvergedError(f"{_what(frame, level)}: no stable SCF solution after {_spent(cycles)}")


def _broken_symmetry(scf: Any, frame: Frame, level: PySCFLevel, cycles: dict[str, int]) -> Any:
    """The stable UKS solution below a closed shell; None where there is none."""
    with _coarse_grid(scf):
        curvature, rotation = lowest_rotation(scf, parting_spins=True)
    if curvature >= UNSTABLE_HARTREE:
        return None
    lower = _anew(scf, frame, level, unrestricted=True)
    density = lower.make_rdm1(*parted_spins(scf, rotation[0]))
    cycles["broken_symmetry"] = run_counting_cycles(lower, density)
    if not lower.converged:
        density, lower = lower.make_rdm1(), _second_order(lower, level)
        cycles["broken_symmetry"] += run_counting_cycles(lower, density)
    if not lower.converged:
        raise NotConvergedError(f"{_what(frame, level)}: no broken-symmetry solution after {_spent(cycles)}")
    lower, _ = _leave_instabilities(lower, frame, level, cycles)
    return lower if lower.e_tot < scf.e_tot - SAME_ENERGY_HARTREE else None


def _what(frame: Frame, level: PySCFLevel) -> str:
    return f"{frame.formula} at {level.name}"


def _spent(cycles: dict[str, int]) -> str:
    return ", ".join(f"{rung} ({n} cycles)" for rung, n in cycles.items())
