"""Force models with known physics, called like a trained committee."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from potential.data.frame import Frame
from potential.nequip.batch import CommitteePrediction, Structures

WELL_EV_PER_A2 = 2.0


def wells(structures: Structures) -> CommitteePrediction:
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

    def __call__(self, structures: Structures) -> CommitteePrediction:
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
