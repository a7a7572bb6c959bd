"""Force models with known physics, called like a trained committee."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from potential.data.frame import Frame
from potential.nequip.batch import CommitteePrediction, Structures

WELL_EV_PER_A2 = 2.0


def wells(structures: Structures, *, stress: bool = False) -> CommitteePrediction:
    """Every atom in its own harmonic well at the origin: E = k/2 sum |x|^2."""
    x = structures.positions
    energy = x.new_zeros(structures.n_structures).index_add(
        0, structures.structure, 0.5 * WELL_EV_PER_A2 * x.square().sum(1)
    )
    return CommitteePrediction(energy=energy[None], forces=-WELL_EV_PER_A2 * x[None])


class Springs:
    """A molecule whose atoms are joined by springs of the reference's lengths, as a committee.

    E_g = s_g k/2 sum_ij (r_ij - r0_ij)^2; the scales s_g make the members disagree the more, the
    further the molecule is from its reference.
    """

    def __init__(self, reference: Frame, *, k: float = 20.0, scales: Sequence[float] = (1.0,)) -> None:
        x = torch.tensor(reference.positions)
        self.pairs = torch.triu_indices(len(reference), len(reference), 1)
        self.lengths = (x[self.pairs[0]] - x[self.pairs[1]]).norm(dim=1)
        self.k, self.scales = k, torch.tensor(scales, dtype=torch.float64)
        self.atoms_seen: list[int] = []

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        self.atoms_seen.append(len(structures.positions))
        energies, forces = zip(
            *(self._one(x) for x in structures.positions.split(structures.n_atoms.tolist())), strict=True
        )
        energy, force = torch.stack(energies), torch.cat(forces)
        return CommitteePrediction(
            energy=self.scales[:, None] * energy, forces=self.scales[:, None, None] * force
        )

    def _one(self, x: Tensor) -> tuple[Tensor, Tensor]:
        i, j = self.pairs
        arrow = x[i] - x[j]
        length = arrow.norm(dim=1)
        stretch = length - self.lengths
        pull = -self.k * (stretch / length)[:, None] * arrow
        force = torch.zeros_like(x).index_add(0, i, pull).index_add(0, j, -pull)
        return 0.5 * self.k * stretch.square().sum(), force


class OfEnergy:
    """Structures of equal size with the energy E(x, cell) of each, forces and stress by its derivatives.

    Args:
        energy: from positions [structures, atoms, 3] and cells [structures, 3, 3] to [structures], eV.
    """

    def __init__(self, energy: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.energy = energy

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        n = structures.n_structures
        x = structures.positions.reshape(n, -1, 3).requires_grad_()
        strain = structures.cell.new_zeros(n, 3, 3).requires_grad_()
        grown = torch.eye(3) + 0.5 * (strain + strain.mT)
        energy = self.energy(x @ grown, structures.cell @ grown)
        slope, by_strain = torch.autograd.grad(energy.sum(), [x, strain])
        volume = torch.linalg.det(structures.cell).abs()
        return CommitteePrediction(
            energy=energy.detach()[None],
            forces=-slope.reshape(1, -1, 3),
            stress=(by_strain / volume[:, None, None])[None] if stress else None,
        )


def ideal_gas(x: Tensor, cell: Tensor) -> Tensor:
    """No interaction."""
    return 0.0 * (x.sum((1, 2)) + cell.sum((1, 2)))


VOLUME_PER_ATOM, BULK_MODULUS = 27.0, 0.1  # Å^3, eV/Å^3


def elastic(x: Tensor, cell: Tensor) -> Tensor:
    """B/2 (V - V0)^2/V0, V0 for as many atoms."""
    v0 = VOLUME_PER_ATOM * x.shape[1]
    return 0.5 * BULK_MODULUS / v0 * (torch.linalg.det(cell) - v0) ** 2


def cosines(x: Tensor, cell: Tensor) -> Tensor:
    """Atoms in the valleys of cosines that move with the cell, which is elastic."""
    fractional = torch.linalg.solve(cell, x, left=False)
    return 0.3 * (1 - torch.cos(4 * torch.pi * fractional)).sum((1, 2)) + elastic(x, cell)


class HarmonicCrystal:
    """A simple cubic crystal, m atoms a side, neighbours joined by springs; its cell is elastic.

    E = k/2 sum_bonds |u_j - u_i|^2 + B/2 (V - V0)^2/V0 with u the displacement from the site, which moves
    with the cell. The springs' part does not depend on V but by the free motion of the whole, so
    p(V) is proportional to V exp(-(P V + B/2 (V - V0)^2/V0)/kT).
    """

    def __init__(self, m: int, *, k: float = 2.0) -> None:
        grid = torch.cartesian_prod(*[torch.arange(m)] * 3)
        self.sites, self.k = grid.double() / m, k
        index = (grid * torch.tensor([m * m, m, 1])).sum(1)
        self.neighbours = []
        for axis in range(3):
            shifted = (grid + torch.eye(3, dtype=torch.int64)[axis]) % m
            self.neighbours.append((shifted * torch.tensor([m * m, m, 1])).sum(1))
        assert torch.equal(index, torch.arange(m**3))

    def __call__(self, x: Tensor, cell: Tensor) -> Tensor:
        u = x - self.sites @ cell
        stretch = sum((u[:, j] - u).square().sum((1, 2)) for j in self.neighbours)
        return 0.5 * self.k * stretch + elastic(x, cell)
