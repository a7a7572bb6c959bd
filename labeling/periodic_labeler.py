"""Energy, forces and stress of a crystal with PySCF.

Against finite differences of the energy (diamond and LiH, PySCF 2.14) the forces are right to
0.1 meV/Angstrom and the stress to 1e-5 eV/Angstrom^3, at any cutoff. What the cutoff decides is how
far the energy itself knows where the grid lies: then the forces do not add up to zero.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from labeling.failure import NotConvergedError
from labeling.periodic_level import PeriodicLevel
from labeling.provenance import where_and_with
from labeling.scf import run_counting_cycles
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.units import (
    HARTREE_EV,
    HARTREE_PER_BOHR3_EV_PER_ANGSTROM3,
    HARTREE_PER_BOHR_EV_PER_ANGSTROM,
)

LEVEL_SHIFT_HARTREE = 0.3
DAMPING = 0.4


def compute(frame: Frame, level: PeriodicLevel, *, second_guess: bool = False) -> Label:
    """Kohn-Sham energy, forces and stress of `frame`, per cell: KRKS for spin 0, else KUKS.

    Args:
        second_guess: start from the core Hamiltonian instead of superposed atoms, to see whether that
            leads to another state.

    Raises:
        NotConvergedError: if no rung of the SCF ladder converges.
        ValueError: if the level cannot label the frame (`level.check`).
    """
    from labeling.uniform_grid import RestrictedGradients, UnrestrictedGradients

    level.check(frame)
    started = time.perf_counter()
    scf, rung, cycles = converge(frame, level, second_guess=second_guess)
    scf_seconds = time.perf_counter() - started
    gradient = UnrestrictedGradients(scf) if frame.spin else RestrictedGradients(scf)
    gradient.verbose = 0
    forces = -np.asarray(gradient.kernel(), dtype=np.float64) * HARTREE_PER_BOHR_EV_PER_ANGSTROM
    gradient_seconds = time.perf_counter() - started - scf_seconds
    stress = np.asarray(gradient.get_stress(), dtype=np.float64) * HARTREE_PER_BOHR3_EV_PER_ANGSTROM3
    seconds = time.perf_counter() - started
    energy = scf.e_free if level.smearing else scf.e_tot
    return Label(
        frame_id=frame.id,
        level_key=level.key,
        energy=float(energy) * HARTREE_EV,
        forces=forces,
        stress=(stress + stress.T) / 2,
        provenance={
            "level": level.model_dump(mode="json"),
            "scf_rung": rung,
            "scf_cycles": cycles,
            "scf_seconds": scf_seconds,
            "gradient_seconds": gradient_seconds,
            "stress_seconds": seconds - scf_seconds - gradient_seconds,
            "seconds": seconds,
            "fft_mesh": [int(n) for n in scf.cell.mesh],
            "entropy_term_eV": float(scf.e_tot - energy) * HARTREE_EV,
            "gap_eV": None if level.smearing else _gap(scf),
            "spin_square": _spin_square(scf, frame) if frame.spin else None,
            **where_and_with("pyscf"),
        },
    )


def converge(
    frame: Frame, level: PeriodicLevel, *, second_guess: bool = False
) -> tuple[Any, str, dict[str, int]]:
    """Climb the SCF ladder; each rung starts from the last one's density.

    Shifted levels and Newton steps do not go with fractional occupations: with smearing the ladder is
    DIIS, then DIIS with damping.

    Returns:
        The converged PySCF mean field, the rung that converged, and the cycles spent on each rung.

    Raises:
        NotConvergedError: if no rung converges.
    """
    rungs = ("diis", "damping") if level.smearing else ("diis", "level_shift", "second_order")
    scf = mean_field(frame, level)
    density = scf.get_init_guess(key="1e") if second_guess else None
    cycles: dict[str, int] = {}
    for rung in rungs:
        match rung:
            case "damping":
                scf.damp = DAMPING
            case "level_shift":
                scf.level_shift, scf.damp = LEVEL_SHIFT_HARTREE, DAMPING
            case "second_order":
                newton = scf.newton()
                newton.verbose, newton.max_cycle = 0, level.max_scf_cycles
                cycles[rung] = run_counting_cycles(newton, density)
                scf = mean_field(frame, level)  # its last steps, where orbital energies are defined
                density = newton.make_rdm1()
        cycles[rung] = cycles.get(rung, 0) + run_counting_cycles(scf, density)
        if scf.converged:
            return scf, rung, cycles
        density = scf.make_rdm1()
    spent = ", ".join(f"{rung} ({n} cycles)" for rung, n in cycles.items())
    raise NotConvergedError(f"{frame.formula} at {level.name}: SCF not converged after {spent}")


def mean_field(frame: Frame, level: PeriodicLevel) -> Any:
    """PySCF's KRKS (spin 0) or KUKS of `frame`, set up and not run."""
    from pyscf.pbc import dft, gto
    from pyscf.pbc.scf.addons import smearing

    from labeling.uniform_grid import KeptOrbitals

    cell = gto.M(
        atom=list(zip(frame.symbols, frame.positions.tolist(), strict=True)),
        a=frame.cell.tolist(),
        unit="Angstrom",
        basis=level.basis,
        pseudo=level.potential,
        spin=frame.spin * int(np.prod(level.k_mesh)),  # PySCF counts in all cells that the k-mesh spans
        ke_cutoff=level.ke_cutoff_hartree,
        precision=level.precision,
        verbose=0,
    )
    kpts = cell.make_kpts(level.k_mesh)
    scf = dft.KRKS(cell, kpts) if frame.spin == 0 else dft.KUKS(cell, kpts)
    scf.xc = level.xc
    if level.smearing is not None:
        width = level.smearing_width_eV / HARTREE_EV
        scf = smearing(scf, sigma=width, method=level.smearing, fix_spin=True)
    scf._numint = scf.with_df._numint = KeptOrbitals()
    scf.conv_tol = level.conv_tol_hartree
    scf.max_cycle = level.max_scf_cycles
    scf.chkfile = None
    return scf


def _gap(scf: Any) -> float | None:
    """Gap between the bands at the k-points, eV, the smaller of both spins; None without empty bands."""
    spins = (
        [(scf.mo_energy, scf.mo_occ)] if scf.istype("KRHF") else zip(scf.mo_energy, scf.mo_occ, strict=True)
    )
    gaps = []
    for energies, occupations in spins:
        energy, occupied = np.concatenate(list(energies)), np.concatenate(list(occupations)) > 0
        if occupied.any() and not occupied.all():
            gaps.append(energy[~occupied].min() - energy[occupied].max())
    return float(min(gaps)) * HARTREE_EV if gaps else None


def _spin_square(scf: Any, frame: Frame) -> float:
    """<S^2> of one cell: PySCF's is that of all cells of the k-mesh, contaminated by each of them."""
    n_cells, spin = len(scf.kpts), frame.spin / 2
    whole = spin * n_cells
    contamination = float(scf.spin_square()[0]) - whole * (whole + 1)
    return spin * (spin + 1) + contamination / n_cells
