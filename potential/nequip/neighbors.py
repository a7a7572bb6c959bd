"""Neighbour lists: pairs of atoms within the cutoff, periodic images included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import vesin
from jaxtyping import Float, Int
from torch import Tensor

from potential.nequip.batch import Structures


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """Directed pairs, sorted by receiver.

    Attributes:
        sender, receiver: atom indices in the batch.
        shift: Cartesian translation of the sender's periodic image, Angstrom.
    """

    sender: Int[Tensor, "edges"]
    receiver: Int[Tensor, "edges"]
    shift: Float[Tensor, "edges 3"]

    def vectors(self, positions: Float[Tensor, "atoms 3"]) -> Float[Tensor, "edges 3"]:
        """From receiver to sender, Angstrom."""
        return positions[self.sender] + self.shift - positions[self.receiver]

    def where(self, keep: Tensor) -> Edges:
        return Edges(sender=self.sender[keep], receiver=self.receiver[keep], shift=self.shift[keep])


def neighbor_list(structures: Structures, cutoff: float) -> Edges:
    """All pairs closer than `cutoff` (Angstrom).

    Molecules are searched as one padded batch on the tensors' device, periodic structures one by
    one with vesin's cell lists.

    Raises:
        ValueError: where two atoms sit on the same point.
    """
    periodic = structures.pbc.any(dim=1)
    parts = []
    if not bool(periodic.all()):
        parts.append(_molecules(structures, ~periodic, cutoff))
    for index in torch.nonzero(periodic).flatten().tolist():
        parts.append(_periodic(structures, index, cutoff))
    edges = (
        parts[0]
        if len(parts) == 1
        else Edges(
            sender=torch.cat([p.sender for p in parts]),
            receiver=torch.cat([p.receiver for p in parts]),
            shift=torch.cat([p.shift for p in parts]),
        )
    )
    if len(parts) > 1:
        edges = edges.where(torch.argsort(edges.receiver, stable=True))
    return edges


def _molecules(structures: Structures, which: Tensor, cutoff: float) -> Edges:
    receiver, sender = all_pairs(structures, which)
    x = structures.positions.detach()
    distance = (x[sender] - x[receiver]).norm(dim=1)
    _refuse_overlap(distance, sender, receiver)
    keep = distance < cutoff
    sender, receiver = sender[keep], receiver[keep]
    return Edges(sender=sender, receiver=receiver, shift=x.new_zeros(len(sender), 3))


def all_pairs(structures: Structures, which: Tensor) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """(receiver, sender) of every ordered pair within the structures marked by `which`."""
    counts = structures.n_atoms
    first = torch.cumsum(counts, 0) - counts
    atoms = torch.nonzero(which[structures.structure]).flatten()
    partners = counts[structures.structure[atoms]]
    receiver = torch.repeat_interleave(atoms, partners)
    start = torch.cumsum(partners, 0) - partners
    offset = torch.arange(len(receiver), device=atoms.device) - torch.repeat_interleave(start, partners)
    sender = first[structures.structure[receiver]] + offset
    keep = sender != receiver
    return receiver[keep], sender[keep]


def _periodic(structures: Structures, index: int, cutoff: float) -> Edges:
    atoms = torch.nonzero(structures.structure == index).flatten()
    x = structures.positions.detach()
    cell = structures.cell[index].detach()
    periodic = structures.pbc[index]
    finder = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, images, distance = finder.compute(
        points=x[atoms].cpu().double().numpy(),
        box=cell.cpu().double().numpy(),
        periodic=periodic.cpu().numpy(),
        quantities="ijSd",
    )
    receiver = atoms[torch.from_numpy(i.astype(np.int64)).to(atoms.device)]
    sender = atoms[torch.from_numpy(j.astype(np.int64)).to(atoms.device)]
    _refuse_overlap(torch.from_numpy(distance), sender, receiver)
    shift = torch.from_numpy(images.astype(np.float64)).to(x) @ cell
    return Edges(sender=sender, receiver=receiver, shift=shift)


def _refuse_overlap(distance: Tensor, sender: Tensor, receiver: Tensor) -> None:
    if bool((distance < 1e-6).any()):
        k = int(torch.argmin(distance))
        raise ValueError(f"atoms {int(receiver[k])} and {int(sender[k])} of the batch sit on one point")


class NeighborList:
    """Neighbour list for molecular dynamics: searched with a skin, reused while atoms stay near.

    The pairs within `cutoff + skin` stay valid until an atom has moved by half the skin or the
    cells change (Verlet, Phys. Rev. 159, 98 (1967)).
    """

    def __init__(self, cutoff: float, *, skin: float = 0.0) -> None:
        self.cutoff = cutoff
        self.skin = skin
        self._searched: Structures | None = None
        self._edges: Edges | None = None

    def __call__(self, structures: Structures) -> Edges:
        """Pairs closer than the cutoff in `structures`."""
        if self.skin == 0.0:
            return neighbor_list(structures, self.cutoff)
        if self._edges is None or not self._still_valid(structures):
            self._edges = neighbor_list(structures, self.cutoff + self.skin)
            self._searched = structures
        vectors = self._edges.vectors(structures.positions.detach())
        return self._edges.where(vectors.square().sum(1) < self.cutoff**2)

    def _still_valid(self, structures: Structures) -> bool:
        old = self._searched
        if old is None or old.positions.shape != structures.positions.shape:
            return False
        same = (
            torch.equal(old.structure, structures.structure)
            and torch.equal(old.cell, structures.cell)
            and torch.equal(old.pbc, structures.pbc)
        )
        if not same:
            return False
        moved = (structures.positions - old.positions).detach().square().sum(1).max()
        return bool(moved < (0.5 * self.skin) ** 2)
