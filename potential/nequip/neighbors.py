"""Neighbour lists: pairs of atoms within the cutoff, periodic images included."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        image: the sender's periodic image in lattice vectors, whole numbers.
        shift: its Cartesian translation, image times cell, Angstrom.
    """

    sender: Int[Tensor, "edges"]
    receiver: Int[Tensor, "edges"]
    image: Float[Tensor, "edges 3"]
    shift: Float[Tensor, "edges 3"]

    def vectors(self, positions: Float[Tensor, "atoms 3"]) -> Float[Tensor, "edges 3"]:
        """From receiver to sender, Angstrom."""
        return positions[self.sender] + self.shift - positions[self.receiver]

    def where(self, keep: Tensor) -> Edges:
        return Edges(
            sender=self.sender[keep],
            receiver=self.receiver[keep],
            image=self.image[keep],
            shift=self.shift[keep],
        )

    def in_cells_of(self, structures: Structures) -> Edges:
        """The same pairs and images where the cells are those of `structures`."""
        cell = structures.cell.detach()[structures.structure[self.receiver]]
        return replace(self, shift=torch.einsum("ei,eij->ej", self.image, cell))


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
            image=torch.cat([p.image for p in parts]),
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
    none = x.new_zeros(len(sender), 3)
    return Edges(sender=sender, receiver=receiver, image=none, shift=none)


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
    image = torch.from_numpy(images.astype(np.float64)).to(x)
    return Edges(sender=sender, receiver=receiver, image=image, shift=image @ cell)


def _refuse_overlap(distance: Tensor, sender: Tensor, receiver: Tensor) -> None:
    if bool((distance < 1e-6).any()):
        k = int(torch.argmin(distance))
        raise ValueError(f"atoms {int(receiver[k])} and {int(sender[k])} of the batch sit on one point")


class NeighborList:
    """Neighbour list for molecular dynamics: searched with a skin, reused while atoms and cells stay near.

    Verlet, Phys. Rev. 159, 98 (1967), for cells that move. Let the cell go from H to H' (rows are lattice
    vectors). A = H^-1 H' takes one to the other, and a position x to x A, but for the displacement u that
    atoms have of their own:

        x' = x A + u
        d' = d A + u_j - u_i            of any pair and image, for d = x_j + n H - x_i
        |d'| >= s |d| - 2 max|u|        s: the smallest singular value of A

    A pair that the search left out had |d| >= cutoff + skin, so it is still beyond the cutoff while

        2 max|u| < s (cutoff + skin) - cutoff

    in its structure. For a cell at rest, s = 1, an atom may move by half the skin. Structures that are
    not periodic in three directions have no A: there a cell that changes means another search.
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
        edges = self._reusable(structures)
        if edges is None:
            edges = self._edges = neighbor_list(structures, self.cutoff + self.skin)
            self._searched = structures
        vectors = edges.vectors(structures.positions.detach())
        return edges.where(vectors.square().sum(1) < self.cutoff**2)

    def _reusable(self, structures: Structures) -> Edges | None:
        """The pairs of the last search, with the cells of now, if none can be missing."""
        old = self._searched
        if old is None or self._edges is None or old.positions.shape != structures.positions.shape:
            return None
        if not (torch.equal(old.structure, structures.structure) and torch.equal(old.pbc, structures.pbc)):
            return None
        if torch.equal(old.cell, structures.cell):
            moved = (structures.positions - old.positions).detach().square().sum(1).max()
            return self._edges if bool(moved < (0.5 * self.skin) ** 2) else None
        if not self._near_in_other_cells(old, structures):
            return None
        return self._edges.in_cells_of(structures)

    def _near_in_other_cells(self, old: Structures, new: Structures) -> bool:
        resting = (old.cell == new.cell).all(dim=2).all(dim=1)
        if not bool((resting | new.pbc.all(dim=1)).all()):
            return False
        one = torch.eye(3).to(new.cell)
        before, after = (torch.where(resting[:, None, None], one, s.cell.detach()) for s in (old, new))
        deformation = torch.linalg.solve(before, after)
        if not bool(deformation.isfinite().all()):
            return False
        followed = torch.einsum("ai,aij->aj", old.positions.detach(), deformation[old.structure])
        own = (new.positions.detach() - followed).norm(dim=1)
        farthest = own.new_zeros(new.n_structures).scatter_reduce(0, new.structure, own, reduce="amax")
        room = torch.linalg.svdvals(deformation)[:, -1] * (self.cutoff + self.skin) - self.cutoff
        return bool((2 * farthest < room).all())
