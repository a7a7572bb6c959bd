"""The graph of a batch as the model wants it: which atoms, who talks to whom, the geometry of each edge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.nequip.counts import count
from potential.nequip.geometry import Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class Topology:
    """Directed edges sorted by receiver, as compressed rows (CSR) and transposed.

    Attributes:
        sender, receiver: atom indices of each edge.
        row: the edges of receiver i are row[i] .. row[i + 1].
        order: the edges sorted by sender.
        column: the edges of sender j are order[column[j] .. column[j + 1]].
    """

    sender: Int[Tensor, "edges"]
    receiver: Int[Tensor, "edges"]
    row: Int[Tensor, "atoms_plus_1"]
    order: Int[Tensor, "edges"]
    column: Int[Tensor, "atoms_plus_1"]

    @classmethod
    def of(cls, sender: Int[Tensor, "edges"], receiver: Int[Tensor, "edges"], n_atoms: int) -> Topology:
        """From edges that are sorted by receiver already."""
        return cls(
            sender=sender,
            receiver=receiver,
            row=_offsets(receiver, n_atoms),
            order=torch.argsort(sender, stable=True),
            column=_offsets(sender, n_atoms),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """All that a model's energy depends on, apart from its weights.

    Attributes:
        species: index of each atom's element in the model.
    """

    species: Int[Tensor, "atoms"]
    topology: Topology
    geometry: Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeTensors:
    """What the interaction blocks need to know of the edges.

    Harmonics and basis are the same for all members (their member axis has stride 0), but they are
    separate variables of each member's energy, so that one backward pass gives the slopes of all.
    """

    topology: Topology
    harmonics: Float[Tensor, "members edges harmonics"]
    basis: Float[Tensor, "members edges radial"]
    interval: Int[Tensor, "edges"] | None

    @classmethod
    def of(cls, graph: Graph, members: int) -> EdgeTensors:
        geometry = graph.geometry
        return cls(
            topology=graph.topology,
            harmonics=geometry.harmonics.expand(members, -1, -1),
            basis=geometry.basis.expand(members, -1, -1),
            interval=geometry.interval,
        )


def _offsets(index: Int[Tensor, "edges"], n_atoms: int) -> Int[Tensor, "atoms_plus_1"]:
    return torch.nn.functional.pad(torch.cumsum(count(index, n_atoms), 0), (1, 0))
