"""What PySCF's k-point DFT on a uniform grid lacks in speed: orbitals kept, local forces by FFT.

PySCF evaluates the Bloch orbitals on the grid anew three times in each SCF cycle, and once for every
atom and k-point in the gradient. Here they are evaluated once, and the pseudopotential's local part
pulls at the nuclei through the density in reciprocal space. Same numbers, about a tenth of the time.

    E_loc = sum_r w rho(r) v(r),   v(G) = -sum_A exp(-iG R_A) v_A(G)
    dE_loc/dR_A = (1/N) Re sum_G conj(rho(G)) iG exp(-iG R_A) v_A(G)  +  basis functions moving along

Imports PySCF: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pyscf import lib
from pyscf.pbc import tools
from pyscf.pbc.dft.numint import KNumInt, eval_ao_kpts
from pyscf.pbc.grad import krks, kuks
from pyscf.pbc.gto import pseudo

SHARE_OF_MEMORY = 0.5


class KeptOrbitals(KNumInt):  # type: ignore[misc] # PySCF has no types
    """PySCF's k-point integrator, which keeps the orbitals and their first derivatives.

    It keeps them as long as they fit in half of PySCF's memory (`cell.max_memory`); beyond that it is
    PySCF's own. One object serves one cell and one k-mesh.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[tuple[int, bytes, bytes], Any] = {}

    def eval_ao(
        self, cell: Any, coords: np.ndarray, kpts: np.ndarray, *, deriv: int = 0, **options: Any
    ) -> Any:
        """Per k-point: `[points, orbitals]`, or `[1 + derivatives, points, orbitals]` for deriv > 0."""
        needed_MB = 4 * 16 * cell.nao * len(kpts) * np.prod(cell.mesh) / 1e6
        if deriv > 1 or needed_MB > SHARE_OF_MEMORY * cell.max_memory:
            return eval_ao_kpts(cell, coords, kpts, deriv=deriv, **options)
        place = (len(coords), coords[0].tobytes(), np.asarray(kpts).tobytes())
        if place not in self._kept:
            self._kept[place] = eval_ao_kpts(cell, coords, kpts, deriv=1, **options)
        orbitals = self._kept[place]
        return orbitals if deriv == 1 else [at_k[0] for at_k in orbitals]


class _LocalPseudopotentialByFFT:
    """Replaces two methods of PySCF's k-point gradients; see the module's equations."""

    def get_hcore(self: Any, cell: Any = None, kpts: Any = None) -> np.ndarray:
        """<nabla i| T + v_local |j> of each k-point: `[k, 3, orbitals, orbitals]`."""
        cell, kpts = cell or self.cell, self.kpts if kpts is None else kpts
        matrices = np.array(cell.pbc_intor("int1e_ipkin", kpts=kpts))
        potential = tools.ifft(_local_potential(cell).sum(axis=0), cell.mesh).real
        for (orbitals, *_), first, last in self.base.with_df.aoR_loop(self.base.grids, kpts, deriv=1):
            for k, ao in enumerate(orbitals):
                weighted = ao[0] * potential[first:last, None]
                term = lib.einsum("xgi,gj->xij", ao[1:].conj(), weighted)
                matrices[k] += term.real if matrices.dtype == np.float64 else term
        return matrices

    def hcore_generator(self: Any, cell: Any = None, kpts: Any = None) -> Callable[[int], np.ndarray]:
        """For each atom, what moves with its basis functions only."""
        cell = cell or self.cell
        matrices, slices = self.get_hcore(cell, kpts), cell.aoslice_by_atom()
        density = self.base.get_rho(self.base.make_rdm1(), self.base.grids)
        self._density = tools.fft(density, cell.mesh)
        self._local = _local_potential(cell)

        def of_atom(atom: int) -> np.ndarray:
            first, last = slices[atom, 2:]
            moved = np.zeros((3, *matrices[:, 0].shape), dtype=matrices.dtype)
            rows = matrices[:, :, first:last].transpose(1, 0, 2, 3)
            moved[:, :, first:last] -= rows
            moved[:, :, :, first:last] -= rows.conj().transpose(0, 1, 3, 2)
            return moved

        return of_atom

    def extra_force(self: Any, atom: int, _: dict[str, Any]) -> np.ndarray:
        """The local potential's centre moving, Hartree/Bohr."""
        pull = -1j * self.cell.Gv * self._local[atom][:, None]
        force: np.ndarray = np.einsum("g,gx->x", self._density.conj(), pull).real / len(self._density)
        return force


class RestrictedGradients(_LocalPseudopotentialByFFT, krks.Gradients):  # type: ignore[misc]
    """`pyscf.pbc.grad.krks.Gradients`, faster."""


class UnrestrictedGradients(_LocalPseudopotentialByFFT, kuks.Gradients):  # type: ignore[misc]
    """`pyscf.pbc.grad.kuks.Gradients`, faster."""


def _local_potential(cell: Any) -> np.ndarray:
    """-exp(-iG R_A) v_A(G), `[atoms, G]`."""
    potential: np.ndarray = -cell.get_SI() * pseudo.get_vlocG(cell)
    return potential
