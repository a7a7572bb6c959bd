"""Batches for training: graphs and references of a dataset, prepared once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from potential.data.dataset import Dataset
from potential.nequip.batch import Structures
from potential.nequip.geometry import Geometry
from potential.nequip.graph import Graph, Topology
from potential.nequip.model import NequIP
from potential.nequip.neighbors import neighbor_list


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBatch:
    """Structures with their references.

    Attributes:
        vectors: from receiver to sender, Angstrom.
        index: position of each structure in the dataset.
        energy: reference without the model's constant shifts, eV.
        forces: eV/Angstrom.
        stress: eV/Angstrom^3; NaN for structures whose labels have none.
    """

    structures: Structures
    graph: Graph
    vectors: Float[Tensor, "edges 3"]
    index: Int[Tensor, "structures"]
    energy: Float64[Tensor, "structures"]
    forces: Float[Tensor, "atoms 3"]
    stress: Float[Tensor, "structures 3 3"]


class Loader:
    """Holds a dataset as tensors on the model's device and cuts batches out of it.

    Neighbour lists and the geometry of the edges are made once, here: positions do not change.
    """

    def __init__(self, dataset: Dataset, model: NequIP) -> None:
        device, dtype = model.device, model.dtype
        self.size = len(dataset)
        self._structures = [Structures.of([frame], device=device) for frame in dataset.frames]
        self._species = [model.species_of(s.numbers) for s in self._structures]
        self._edges = [neighbor_list(s, model.config.r_max) for s in self._structures]
        self._vectors = [e.vectors(s.positions) for s, e in zip(self._structures, self._edges, strict=True)]
        self._geometry = [Geometry.of(v, model.config).to(dtype) for v in self._vectors]
        self._forces = [torch.tensor(label.forces, device=device, dtype=dtype) for label in dataset.labels]
        self._stress = torch.stack(
            [
                torch.full((3, 3), torch.nan) if label.stress is None else torch.tensor(label.stress)
                for label in dataset.labels
            ]
        ).to(device, dtype)
        shifts = [model.shift_energy(species).sum() for species in self._species]
        energy = torch.tensor([label.energy for label in dataset.labels], dtype=torch.float64, device=device)
        self._energy = energy - torch.stack(shifts)

    def batch(self, indices: Sequence[int]) -> TrainingBatch:
        """The frames at `indices`, as one batch."""
        chosen = [self._structures[i] for i in indices]
        sizes = [len(s.numbers) for s in chosen]
        first = [0, *accumulate(sizes)]
        device = chosen[0].positions.device
        # `non_blocking`: the host goes on while what it made of small integers travels.
        index = torch.tensor(list(indices)).to(device, non_blocking=True)
        owner = torch.repeat_interleave(torch.arange(len(chosen)), torch.tensor(sizes))
        structures = Structures(
            numbers=torch.cat([s.numbers for s in chosen]),
            positions=torch.cat([s.positions for s in chosen]),
            structure=owner.to(device, non_blocking=True),
            cell=torch.cat([s.cell for s in chosen]),
            pbc=torch.cat([s.pbc for s in chosen]),
        )
        topology = Topology.of(
            torch.cat([self._edges[i].sender + n for i, n in zip(indices, first, strict=False)]),
            torch.cat([self._edges[i].receiver + n for i, n in zip(indices, first, strict=False)]),
            first[-1],
        )
        return TrainingBatch(
            structures=structures,
            graph=Graph(
                species=torch.cat([self._species[i] for i in indices]),
                topology=topology,
                geometry=Geometry.cat([self._geometry[i] for i in indices]),
            ),
            vectors=torch.cat([self._vectors[i] for i in indices]),
            index=index,
            energy=self._energy[index],
            forces=torch.cat([self._forces[i] for i in indices]),
            stress=self._stress[index],
        )

    def shuffled(self, batch_size: int, *, seed: int, epoch: int) -> Iterator[TrainingBatch]:
        """One epoch; the order depends on `seed` and `epoch` alone, so that it can be resumed."""
        order = np.random.default_rng((seed, epoch)).permutation(self.size).tolist()
        return self._cut(order, batch_size)

    def ordered(self, batch_size: int) -> Iterator[TrainingBatch]:
        return self._cut(list(range(self.size)), batch_size)

    def _cut(self, order: list[int], batch_size: int) -> Iterator[TrainingBatch]:
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])
