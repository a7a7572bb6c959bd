"""Is an SCF solution a minimum, or is there a way down along a rotation of its orbitals?

Seeger and Pople, J. Chem. Phys. 66, 3045 (1977). Two kinds of ways down:

    internal   into another solution of the same kind, e.g. out of an excited state
    external   out of RKS into UKS: where a bond is stretched, the energy falls once the two electrons of
               its pair part, and the restricted solution lies electronvolts above the broken symmetry

A rotation kappa changes the energy by n kappa A kappa to second order, and the solution is a minimum only if
A has no negative eigenvalue:

    A kappa = (e_a - e_i) kappa_ai + [C_v^T v(d) C_o]_ai,    d = n (C_v kappa C_o^T + its transpose)

    e_i, e_a    energies of occupied and empty orbitals, Hartree
    C_o, C_v    their coefficients
    n           electrons in an occupied orbital: 2 in a closed shell, 1 for each spin of an open one
    kappa       rotation (empty, occupied), of each spin in an open shell
    v(d)        response of the potential to d: Coulomb, exchange and correlation. Where the spins of a closed
                shell part, kappa moves one of them and -kappa the other, d is a spin density, and no Coulomb
                repulsion opposes it

The first term is at least the gap. Parting spins, the response takes a few electronvolts off it, more of them
the more exact exchange there is. So a gap far above what it can take off proves stability at no cost; only
below `suspicious_gap_hartree` is the eigenvalue computed.

A is multiplied with several rotations at once, and the search starts from the smallest differences of orbital
energies. PySCF's own `stability` starts from one vector and takes one at a time; for aspirin it had not
converged after 50 iterations.
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
INTERNAL_ROTATION_RADIANS = 1.0


def suspicious_gap_hartree(scf: Any) -> float:
    """The gap above which no closed shell was found unstable at this functional's exact exchange."""
    omega, long_range, hybrid = scf._numint.rsh_and_hybrid_coeff(scf.xc)
    exchange = (long_range + hybrid) / 2 if omega else hybrid
    return float(np.polynomial.Polynomial(SUSPICIOUS_GAP_EV)(exchange)) / HARTREE_EV


def lowest_rotation(scf: Any, *, parting_spins: bool = False) -> tuple[float, list[np.ndarray]]:
    """Lowest eigenvalue (Hartree) of A of a converged RKS or UKS, and its rotation, of norm 1.

    The response is integrated on the grid that `scf` has.

    Args:
        parting_spins: whether the spins of a closed shell turn in opposite directions.

    Returns:
        The eigenvalue, and kappa (empty, occupied) of the closed shell or of each spin.
    """
    from pyscf import lib

    closed = np.ndim(scf.mo_occ) == 1
    orbitals, energies, occupations = (
        [each] if closed else list(each) for each in (scf.mo_coeff, scf.mo_energy, scf.mo_occ)
    )
    electrons = 2 if closed else 1
    occupied = [c[:, n > 0] for c, n in zip(orbitals, occupations, strict=True)]
    empty = [c[:, n == 0] for c, n in zip(orbitals, occupations, strict=True)]
    differences = [e[n == 0][:, None] - e[n > 0] for e, n in zip(energies, occupations, strict=True)]
    ends = np.cumsum([each.size for each in differences])[:-1]
    respond = scf.gen_response(hermi=1, **({"singlet": False if parting_spins else None} if closed else {}))

    def of_each_spin(flat: Any) -> list[np.ndarray]:
        parts = np.split(np.reshape(flat, (-1, sum(each.size for each in differences))), ends, axis=1)
        return [part.reshape(len(part), *each.shape) for part, each in zip(parts, differences, strict=True)]

    def products(flat: Any) -> list[np.ndarray]:
        kappas = of_each_spin(flat)
        half = [electrons * v @ kappa @ o.T for v, kappa, o in zip(empty, kappas, occupied, strict=True)]
        densities = np.array([density + density.transpose(0, 2, 1) for density in half])
        potentials = [respond(densities[0])] if closed else respond(densities)
        spins = zip(differences, kappas, empty, potentials, occupied, strict=True)
        changes = [d * kappa + v.T @ potential @ o for d, kappa, v, potential, o in spins]
        return list(np.concatenate([each.reshape(len(each), each[0].size) for each in changes], axis=1))

    def precondition(residual: np.ndarray, eigenvalue: float, _: Any) -> np.ndarray:
        shifted = gaps - eigenvalue
        shifted[abs(shifted) < 1e-8] = 1e-8
        return np.asarray(residual / shifted)

    gaps = np.concatenate([each.ravel() for each in differences])
    diagonal = np.maximum(gaps, 1e-3)
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
    kappas = of_each_spin(np.atleast_2d(rotations)[lowest])
    return float(np.ravel(eigenvalues)[lowest]), [kappa[0] for kappa in kappas]


def parted_spins(scf: Any, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orbitals of both spins (2, functions, orbitals) of a closed shell, turned apart along `kappa`
    (empty, occupied), and occupations."""
    turns = [sign * SPIN_ROTATION_RADIANS * kappa for sign in (1, -1)]
    orbitals = np.array([_turned(scf.mo_coeff, scf.mo_occ, turn) for turn in turns])
    return orbitals, np.array([scf.mo_occ / 2] * 2)


def turned(scf: Any, kappas: list[np.ndarray]) -> np.ndarray:
    """Orbitals of an RKS or UKS, turned along `kappas` into another solution of its kind."""
    if np.ndim(scf.mo_occ) == 1:
        return _turned(scf.mo_coeff, scf.mo_occ, INTERNAL_ROTATION_RADIANS * kappas[0])
    spins = zip(scf.mo_coeff, scf.mo_occ, kappas, strict=True)
    return np.array([_turned(c, n, INTERNAL_ROTATION_RADIANS * kappa) for c, n, kappa in spins])


def _turned(orbitals: np.ndarray, occupations: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    from scipy.linalg import expm

    generator = np.zeros((len(occupations), len(occupations)))
    generator[np.ix_(occupations == 0, occupations > 0)] = kappa
    return np.asarray(orbitals @ expm(generator - generator.T))
