"""A trained committee, ready to be called: energies and forces of batches, descriptors of frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from potential.backends.choose import choose_backend
from potential.backends.derivatives import energy_and_forces
from potential.data.frame import Frame
from potential.nequip.batch import CommitteePrediction, Structures, not_finite_where_lost
from potential.nequip.model import NequIP
from potential.nequip.neighbors import NeighborList, neighbor_list
from potential.nequip.precision import float32_products
from potential.training.training_config import check_tf32


class Evaluator:
    """A force model: `Structures` in, `CommitteePrediction` out.

    Args:
        model: a trained committee; its gradients are switched off.
        skin: Angstrom; in molecular dynamics the neighbour list is reused while atoms stay within
            half the skin.
        device: where to compute; predictions come back on the device of the input.
        tf32: multiply matrices in TF32 (faster, less precise; docs/performance.md says by how much);
            only on CUDA devices and for float32 models.
        cuda_graphs: launch the model's kernels as one recorded graph (`potential.backends.replayed`);
            only on CUDA devices, for many calls on the same atoms.

    Attributes:
        backend: what runs the model (`potential.backends`), with the weights of now.

    Raises:
        ValueError: for `tf32` or `cuda_graphs` on another device.
    """

    def __init__(
        self,
        model: NequIP,
        *,
        skin: float = 0.5,
        device: str = "cpu",
        tf32: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        check_tf32(tf32, device)
        self._tf32 = tf32
        self.model = model.to(device).eval().requires_grad_(False)
        self.backend = choose_backend(self.model, cuda_graphs=cuda_graphs)
        self._neighbors = NeighborList(model.config.r_max, skin=skin)
        self._numbers: Tensor | None = None

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        home, moved = structures.positions.device, structures.to(self.model.device)
        species = self._species_of(structures, moved)
        with float32_products("tf32") if self._tf32 else nullcontext():
            prediction = energy_and_forces(
                self.backend, moved, self._neighbors(moved), species=species, stress=stress
            )
        return not_finite_where_lost(prediction, moved).to(home)

    def _species_of(self, structures: Structures, moved: Structures) -> Int[Tensor, "atoms"]:
        """Looked up once for a trajectory: an unknown element is an error of the host, so it must wait."""
        if structures.numbers is not self._numbers:
            self._species = self.model.species_of(moved.numbers)
            self._numbers = structures.numbers
        return self._species

    def descriptors(
        self, frames: Sequence[Frame], *, batch_size: int = 64
    ) -> Float64[np.ndarray, "frames features"]:
        """Latent features of each frame, for distances between frames.

        The scalar features of the last interaction block, averaged over the atoms of each species
        and concatenated over species and members; each averaged over its atoms, so that the
        descriptor is invariant under rotation, translation and permutation.
        """
        parts = [
            self._describe(frames[start : start + batch_size]) for start in range(0, len(frames), batch_size)
        ]
        if not parts:
            width = len(self.model.numbers) * self.model.members * self.model.config.num_features
            return np.zeros((0, width))
        return np.concatenate(parts)

    def _describe(self, frames: Sequence[Frame]) -> Float64[np.ndarray, "frames features"]:
        model = self.model
        structures = Structures.of(frames, device=model.device)
        edges = neighbor_list(structures, model.config.r_max)
        species = model.species_of(structures.numbers)
        graph = model.graph(species, edges, edges.vectors(structures.positions))
        features = self.backend.features(graph).double()
        n_species = len(model.numbers)
        slot = structures.structure * n_species + species
        n_slots = structures.n_structures * n_species
        total = features.new_zeros(model.members, n_slots, features.shape[2])
        total = total.index_add(1, slot, features)
        count = torch.bincount(slot, minlength=n_slots).clamp_min(1).view(1, -1, 1)
        mean = (total / count).view(model.members, structures.n_structures, n_species, -1)
        return mean.permute(1, 2, 0, 3).flatten(1).cpu().numpy()
