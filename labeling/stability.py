"""Is an SCF solution a minimum, or is there a way down along a rotation of its orbitals?

Seeger and Pople, J. Chem. Phys. 66, 3045 (1977). Two kinds of ways down:

    internal   into another solution of the same kind, e.g. out of an excited state
    external   out of RKS into UKS: where a bond is stretched, the energy falls once the two electrons of
               its pair part, and the restricted solution lies electronvolts above the broken symmetry

A rotation kappa that moves the spins in opposite directions changes a closed shell's energy by
2 kappa A kappa to second order, and the restricted solution is a minimum only if A has no negative
eigenvalue:

    A kappa = (e_a - e_i) kappa_ai + [C_v^T v(d) C_o]_ai,    d = 2 (C_v kappa C_o^T + its transpose)

    e_i, e_a    energies of occupied and empty orbitals, Hartree
    C_o, C_v    their coefficients
    kappa       rotation (empty, occupied)
    v(d)        response of the potential to a spin density d: exchange and correlation, no Coulomb

The first term is at least the gap, and the response takes a few electronvolts off it, more of them the more
exact exchange there is. So a gap far above what the response can take off proves stability at no cost; only
below `suspicious_gap_hartree` is the eigenvalue computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from potential.data.units import HARTREE_EV

# Above the gaps at which H2, N2, F2, water and ethane become unstable, in powers of the share of exact
# exchange (PBE 4.2, r2SCAN 4.7, B3LYP 7.1, wB97X-D3BJ 12.8, Hartree-Fock 21 eV).
SUSPICIOUS_GAP_EV = (5.2, 13.0, 4.0)
# Below it, the solution is no minimum; the eigenvalue itself is converged to 1e-5.
UNSTABLE_HARTREE = -1e-4
DAVIDSON_TOLERANCE_HARTREE = 1e-5
# One root alone is often not the lowest: it keeps the symmetry of where it started.
ROOTS, STARTS = 2, 6
SPIN_ROTATION_RADIANS = 0.5


def suspicious_gap_hartree(scf: Any) -> float:
    """The gap above which no closed shell was found unstable at this functional's exact exchange."""
    omega, long_range, hybrid = scf._numint.rsh_and_hybrid_coeff(scf.xc)
    exchange = (long_range + hybrid) / 2 if omega else hybrid
    return float(np.polynomial.Polynomial(SUSPICIOUS_GAP_EV)(exchange)) / HARTREE_EV


def spin_rotation(scf: Any) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue (Hartree) of A of a converged RKS, and its rotation (empty, occupied), of norm 1.

    The response is integrated on the grid that `scf` has.
    """
    from pyscf import lib

    occupied, empty = scf.mo_occ > 0, scf.mo_occ == 0
    c_occupied, c_empty = scf.mo_coeff[:, occupied], scf.mo_coeff[:, empty]
    differences = scf.mo_energy[empty][:, None] - scf.mo_energy[occupied]
    response = scf.gen_response(singlet=False, hermi=1)

    def products(flat: Any) -> list[np.ndarray]:
        kappa = np.reshape(flat, (-1, *differences.shape))
        density = 2 * c_empty @ kappa @ c_occupied.T
        change = c_empty.T @ response(density + density.transpose(0, 2, 1)) @ c_occupied
        return list(np.reshape(differences * kappa + change, (len(kappa), -1)))

    def precondition(residual: np.ndarray, eigenvalue: float, _: Any) -> np.ndarray:
        shifted = differences.ravel() - eigenvalue
        shifted[abs(shifted) < 1e-8] = 1e-8
        return np.asarray(residual / shifted)

    diagonal = np.maximum(differences.ravel(), 1e-3)
    starts = [*np.eye(diagonal.size)[np.argsort(diagonal)[:STARTS]], 1 / diagonal]
    _, eigenvalues, rotations = lib.davidson1(
        products,
        starts[: diagonal.size],
        precondition,
        tol=DAVIDSON_TOLERANCE_HARTREE,
        nroots=min(ROOTS, diagonal.size),
        verbose=0,
    )
    lowest = int(np.argmin(eigenvalues))
    return float(np.ravel(eigenvalues)[lowest]), np.reshape(
        np.atleast_2d(rotations)[lowest], differences.shape
    )


def parted_spins(scf: Any, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orbitals of both spins (2, functions, orbitals), turned apart along `rotation`, and occupations."""
    from scipy.linalg import expm

    occupied, empty = np.flatnonzero(scf.mo_occ > 0), np.flatnonzero(scf.mo_occ == 0)
    generator = np.zeros((len(scf.mo_occ), len(scf.mo_occ)))
    generator[np.ix_(empty, occupied)] = SPIN_ROTATION_RADIANS * rotation
    generator -= generator.T
    orbitals = np.array([scf.mo_coeff @ expm(sign * generator) for sign in (1, -1)])
    return orbitals, np.array([scf.mo_occ / 2] * 2)
