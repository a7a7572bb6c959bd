"""Unit conversions, in one place.

Inside the project: eV, Angstrom, fs, K, amu; forces eV/Angstrom; stress eV/Angstrom^3 with ASE's
sign (positive = the cell wants to shrink); cells as rows. Quantum chemistry codes speak Hartree and
Bohr; nothing outside this file knows the factors. Values: CODATA 2018.
"""

HARTREE_EV = 27.211386245988
BOHR_ANGSTROM = 0.529177210903
HARTREE_PER_BOHR_EV_PER_ANGSTROM = HARTREE_EV / BOHR_ANGSTROM
HARTREE_PER_BOHR3_EV_PER_ANGSTROM3 = HARTREE_EV / BOHR_ANGSTROM**3

BOLTZMANN_EV_PER_K = 8.617333262e-5

# An acceleration in Angstrom/fs^2 is force [eV/Angstrom] / mass [amu] times this factor
# (e / (amu * (Angstrom/fs)^2)); equally, kinetic energy in eV is amu (Angstrom/fs)^2 divided by it.
FORCE_TO_ACCELERATION = 9.648533212e-3

# Pressure and stress: one gigapascal is this many eV/Angstrom^3 (1e9 Pa times 1e-30 m^3, over e).
GPA_EV_PER_ANGSTROM3 = 1 / 160.2176634
