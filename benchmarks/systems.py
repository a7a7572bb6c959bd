"""The structures that the benchmarks run on: a molecule, a batch of molecules, a periodic liquid."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule

ASPIRIN = """O 1.2333 0.5540 0.7792
O -0.6952 -2.7148 -0.7502
O 0.7958 -2.1843 0.8685
O 1.7813 0.8105 -1.4821
C -0.0857 0.6088 0.4403
C -0.7927 -0.5515 0.1244
C -0.7288 1.8464 0.4133
C -2.1426 -0.4741 -0.2184
C -2.0787 1.9238 0.0706
C -2.7855 0.7636 -0.2453
C -0.1409 -1.8536 0.1477
C 2.1094 0.6715 -0.3113
C 3.5305 0.5996 0.1635
H -0.1851 2.7545 0.6593
H -2.7247 -1.3605 -0.4564
H -2.5797 2.8872 0.0506
H -3.8374 0.8238 -0.5090
H 3.7290 1.4184 0.8593
H 4.2045 0.6969 -0.6924
H 3.7105 -0.3659 0.6426
H -0.2555 -3.5916 -0.7337"""


def ethanol() -> list[Atoms]:
    """One molecule, 9 atoms."""
    return [molecule("CH3CH2OH")]


def replicas(name: str, n: int) -> list[Atoms]:
    """A molecule n times, rattled by 0.03 Angstrom, as its replicas in dynamics are."""
    molecules = [molecule(name) for _ in range(n)]
    for seed, atoms in enumerate(molecules):
        atoms.positions += np.random.default_rng(seed).normal(0, 0.03, atoms.positions.shape)
    return molecules


def aspirin_batch() -> list[Atoms]:
    """Five molecules of 21 atoms each, rattled by 0.05 Angstrom."""
    lines = [line.split() for line in ASPIRIN.splitlines()]
    symbols, positions = [w[0] for w in lines], [[float(x) for x in w[1:]] for w in lines]
    frames = []
    for seed in range(5):
        atoms = Atoms(symbols, positions)
        atoms.positions += np.random.default_rng(seed).normal(0, 0.05, atoms.positions.shape)
        frames.append(atoms)
    return frames


def water_box(molecules_per_side: int = 4) -> list[Atoms]:
    """Periodic water at 0.997 g/cm3, randomly turned molecules on a grid; 192 atoms for 4 per side."""
    rng, n = np.random.default_rng(0), molecules_per_side
    length = (n**3 * 18.01528 / 6.02214076e23 / 0.997 * 1e24) ** (1 / 3)
    water = molecule("H2O")
    water.positions -= water.get_center_of_mass()
    box = Atoms(cell=[length] * 3, pbc=True)
    for place in np.ndindex(n, n, n):
        turned = water.copy()
        turned.rotate(rng.uniform(0, 360), rng.normal(size=3))
        turned.positions += (np.array(place) + 0.5) * length / n
        box += turned
    box.set_cell([length] * 3)
    box.set_pbc(True)
    return [box]


SYSTEMS = {
    "2 hydrogen molecules": lambda: replicas("H2", 2),
    "ethanol": ethanol,
    "64 ethanol": lambda: replicas("CH3CH2OH", 64),
    "5 x 21 atoms": aspirin_batch,
    "water 192": water_box,
    "water 1536": lambda: water_box(8),
}
