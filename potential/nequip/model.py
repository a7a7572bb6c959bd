"""NequIP (Batzner et al., Nat. Commun. 13, 2453 (2022)) for a committee of G members at once.

The members are a leading axis of every tensor: they share the neighbour list and the edges, and
every operation is one batched operation over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from potential.nequip.geometry import Geometry
from potential.nequip.graph import EdgeTensors, Graph, Topology
from potential.nequip.interaction import Interaction
from potential.nequip.irreps import SCALAR, Irrep, feature_irreps
from potential.nequip.linear import CommitteeLinear, normal
from potential.nequip.model_config import ModelConfig
from potential.nequip.neighbors import Edges


class NequIP(torch.nn.Module):
    """Atomic energies from the geometry of the edges.

    E_i = scale(species_i) readout(features_i) + shift(species_i), E = sum_i E_i. The interaction part is
    computed in the dtype of the weights, the shifts are added in float64 (total energies of DFT
    exceed what float32 resolves).

    Args:
        config: the architecture.
        numbers: the atomic numbers the model knows; sorted.
        seed: member g starts from weights drawn with (seed, g).
        avg_num_neighbors: mean number of neighbours within r_max in the training set.
        energy_scales: eV for each of `numbers`; typically the RMS of the training forces.
        energy_shifts: eV for each of `numbers`.
    """

    energy_scales: Tensor
    energy_shifts: Tensor
    numbers: Tensor

    def __init__(
        self,
        config: ModelConfig,
        numbers: Sequence[int],
        *,
        seed: int = 0,
        avg_num_neighbors: float = 16.0,
        energy_scales: Sequence[float] | None = None,
        energy_shifts: Sequence[float] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.config = config
        self.avg_num_neighbors = float(avg_num_neighbors)
        known = sorted({int(z) for z in numbers})
        shifts = [0.0] * len(known) if energy_shifts is None else list(energy_shifts)
        scales = [1.0] * len(known) if energy_scales is None else list(energy_scales)
        if len(scales) != len(known):
            raise ValueError(
                f"got {len(scales)} energy scales for {len(known)} species {known}; give one each"
            )
        if len(shifts) != len(known):
            raise ValueError(
                f"got {len(shifts)} energy shifts for {len(known)} species {known}; give one each"
            )

        members, channels = config.committee_size, config.num_features
        generators = [torch.Generator().manual_seed(seed * 1_000_003 + member) for member in range(members)]
        self.embedding = torch.nn.Parameter(normal(generators, len(known), channels))
        hidden = feature_irreps(config.l_max, config.parity)
        self.blocks = torch.nn.ModuleList()
        irreps: tuple[Irrep, ...] = (SCALAR,)
        for layer in range(config.num_layers):
            last = layer == config.num_layers - 1
            block = Interaction(
                generators,
                irreps_in=irreps,
                wanted=(SCALAR,) if last else hidden,
                n_species=len(known),
                avg_num_neighbors=avg_num_neighbors,
                config=config,
            )
            irreps = block.irreps_out
            self.blocks.append(block)
        self.readout = CommitteeLinear(generators, channels, 1)
        self.to(dtype)
        # After the cast: the constants of the total energy stay in float64.
        self.register_buffer("numbers", torch.tensor(known, dtype=torch.int64))
        self.register_buffer("energy_scales", torch.tensor(scales, dtype=torch.float64))
        self.register_buffer("energy_shifts", torch.tensor(shifts, dtype=torch.float64))

    @property
    def members(self) -> int:
        return self.config.committee_size

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def interactions(self) -> list[Interaction]:
        """The interaction blocks, in order."""
        return [block for block in self.blocks if isinstance(block, Interaction)]

    def species_of(self, numbers: Int[Tensor, "atoms"]) -> Int[Tensor, "atoms"]:
        """Index of each atomic number among the model's species.

        Raises:
            ValueError: for an element that the model was not built for.
        """
        index = torch.searchsorted(self.numbers, numbers).clamp(max=len(self.numbers) - 1)
        unknown = self.numbers[index] != numbers
        if bool(unknown.any()):
            found = sorted(set(numbers[unknown].tolist()))
            raise ValueError(
                f"the model knows the elements Z = {self.numbers.tolist()}, got Z = {found}; "
                "train a model on data that contain them"
            )
        return index

    def graph(self, species: Int[Tensor, "atoms"], edges: Edges, vectors: Float[Tensor, "edges 3"]) -> Graph:
        """The graph of atoms (indices from `species_of`) and their edges, in the model's dtype.

        Args:
            vectors: from receiver to sender, Angstrom.
        """
        return Graph(
            species=species,
            topology=Topology.of(edges.sender, edges.receiver, len(species)),
            geometry=Geometry.of(vectors, self.config).to(self.dtype),
        )

    def features(
        self,
        species: Int[Tensor, "atoms"],
        edges: EdgeTensors,
    ) -> Float[Tensor, "members atoms channels"]:
        """Scalar features of the last interaction block; the readout is linear in them."""
        # Rows of the identity: torch's one_hot would make the host wait for the largest index.
        one_hot = torch.eye(len(self.numbers), dtype=self.dtype, device=species.device)[species]
        x = self.embedding.index_select(1, species).unsqueeze(2)
        for block in self.blocks:
            x = block(x, one_hot, edges)
        return x.squeeze(2)

    def interaction_energy(
        self,
        species: Int[Tensor, "atoms"],
        edges: EdgeTensors,
    ) -> Float[Tensor, "members atoms"]:
        """Energy of each atom without the shifts, eV, in the dtype of the weights.

        Args:
            species: index of each atom's element, from `species_of`.
            edges: harmonics and basis of each edge, with a member axis: its entries may all be the
                same numbers, but one backward pass then gives the slopes of every member.
        """
        energy: Tensor = self.readout(self.features(species, edges)).squeeze(-1)
        return energy * self.energy_scales[species].to(energy.dtype)

    def shift_energy(self, species: Int[Tensor, "atoms"]) -> Float64[Tensor, "atoms"]:
        """The constant part of each atom's energy, eV."""
        return self.energy_shifts[species]
