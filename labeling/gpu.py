"""PySCF on a graphics card, by gpu4pyscf: the same Kohn-Sham calculation, other kernels.

Labels of both backends share the level's key, so their numbers must agree. That is not taken on trust:
the first label that a worker computes at a level is preceded by one of water on both backends, and the
worker refuses to go on if they differ by more than the tolerances below, which are ten times smaller
than what separates PySCF from itself on another grid level.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from labeling.failure import CannotLabelError
from labeling.level import PySCFLevel
from labeling.scf import mean_field, shift_levels
from potential.data.frame import Frame
from potential.data.units import HARTREE_EV, HARTREE_PER_BOHR_EV_PER_ANGSTROM

ENERGY_TOLERANCE_EV = 1e-5
FORCE_TOLERANCE_EV_PER_ANGSTROM = 1e-5
TIGHT_HARTREE = 1e-12
WATER = Frame.of([8, 1, 1], [[0, 0, 0.12], [0, 0.76, -0.48], [0.05, -0.78, -0.46]])


def require_gpu4pyscf() -> None:
    """Raise CannotLabelError, with what to install, if gpu4pyscf is not there."""
    if find_spec("gpu4pyscf") is None:
        raise CannotLabelError(
            "labeling.backend: gpu needs gpu4pyscf, which is not installed. Install it for your CUDA, e.g. "
            "`pip install gpu4pyscf-cuda12x`, on a machine with an NVIDIA card, or write `backend: cpu`"
        )


def converge_on_gpu(frame: Frame, level: PySCFLevel) -> Any:
    """The converged mean field on the card; None where DIIS and a level shift do not get there.

    The rungs beyond are climbed on the CPU.

    Raises:
        CannotLabelError: without gpu4pyscf, or if its numbers are not PySCF's.
    """
    require_gpu4pyscf()
    _check_agreement(level)
    return _converge(frame, level)


def _converge(frame: Frame, level: PySCFLevel) -> Any:
    scf = mean_field(frame, level).to_gpu()
    scf.kernel()
    if not scf.converged:
        shift_levels(scf)
        scf.kernel(dm0=scf.make_rdm1())
    return scf if scf.converged else None


@lru_cache(8)
def _check_agreement(level: PySCFLevel) -> None:
    """Both are converged tightly, so that what differs is not what either SCF leaves undone."""
    level = level.model_copy(update={"conv_tol_hartree": TIGHT_HARTREE})
    cpu = mean_field(WATER, level)
    cpu.kernel()
    card = _converge(WATER, level)
    if card is None:
        raise CannotLabelError(f"gpu4pyscf does not converge water at {level.name}; write `backend: cpu`")
    energy_eV = abs(float(card.e_tot) - float(cpu.e_tot)) * HARTREE_EV
    force_eV_per_angstrom = float(np.abs(_gradient(card) - _gradient(cpu)).max())
    force_eV_per_angstrom *= HARTREE_PER_BOHR_EV_PER_ANGSTROM
    if energy_eV > ENERGY_TOLERANCE_EV or force_eV_per_angstrom > FORCE_TOLERANCE_EV_PER_ANGSTROM:
        raise CannotLabelError(
            f"gpu4pyscf and PySCF differ for water at {level.name} by {energy_eV:.1e} eV and "
            f"{force_eV_per_angstrom:.1e} eV/Angstrom, more than {ENERGY_TOLERANCE_EV:g} and "
            f"{FORCE_TOLERANCE_EV_PER_ANGSTROM:g}: their labels must not mix; write `backend: cpu`"
        )


def _gradient(scf: Any) -> np.ndarray:
    gradient = scf.nuc_grad_method()
    gradient.verbose, gradient.grid_response = 0, True
    return np.asarray(gradient.kernel(), dtype=np.float64)
