"""Tensors that go into a model and come out of it.

Several structures of different sizes travel as one flat batch: atoms are concatenated, and
`structure[i]` says to which structure atom i belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from potential.data.frame import Frame
from potential.nequip.counts import count


@dataclass(frozen=True, kw_only=True, eq=False)
class Structures:
    """A flat batch of structures.

    Attributes:
        numbers: atomic numbers.
        positions: Angstrom.
        structure: index of the structure that each atom belongs to, ascending.
        cell: rows are lattice vectors, Angstrom; zeros for a molecule.
        pbc: periodic along each lattice vector.
    """

    numbers: Int[Tensor, "atoms"]
    positions: Float[Tensor, "atoms 3"]
    structure: Int[Tensor, "atoms"]
    cell: Float[Tensor, "structures 3 3"]
    pbc: Bool[Tensor, "structures 3"]

    @classmethod
    def of(
        cls,
        frames: Sequence[Frame],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Structures:
        """Batch `frames`, in order.

        Raises:
            ValueError: for no frames at all.
        """
        if not frames:
            raise ValueError("a batch needs at least one frame, got none")
        sizes = torch.tensor([len(frame) for frame in frames])
        return cls(
            numbers=torch.from_numpy(np.concatenate([f.numbers for f in frames])).to(device),
            positions=torch.from_numpy(np.concatenate([f.positions for f in frames])).to(device, dtype),
            structure=torch.repeat_interleave(torch.arange(len(frames)), sizes).to(device),
            cell=torch.from_numpy(np.stack([f.cell for f in frames])).to(device, dtype),
            pbc=torch.tensor([f.pbc for f in frames], device=device),
        )

    @property
    def n_structures(self) -> int:
        return self.cell.shape[0]

    @property
    def n_atoms(self) -> Int[Tensor, "structures"]:
        """Atoms in each structure."""
        return count(self.structure, self.n_structures)

    def at(self, positions: Float[Tensor, "atoms 3"]) -> Structures:
        """The same structures at other positions (Angstrom)."""
        return replace(self, positions=positions)

    def to(self, device: torch.device | str) -> Structures:
        """The same structures on another device."""
        return Structures(
            numbers=self.numbers.to(device),
            positions=self.positions.to(device),
            structure=self.structure.to(device),
            cell=self.cell.to(device),
            pbc=self.pbc.to(device),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CommitteePrediction:
    """What a committee of G members says of a batch of structures.

    Attributes:
        energy: eV.
        forces: eV/Angstrom.
        stress: eV/Angstrom^3, ASE's sign; zero for structures without a cell; None if not asked for.
    """

    energy: Float[Tensor, "members structures"]
    forces: Float[Tensor, "members atoms 3"]
    stress: Float[Tensor, "members structures 3 3"] | None = None

    def to(self, device: torch.device | str) -> CommitteePrediction:
        """The same prediction on another device."""
        return CommitteePrediction(
            energy=self.energy.to(device),
            forces=self.forces.to(device),
            stress=None if self.stress is None else self.stress.to(device),
        )

    @property
    def mean_energy(self) -> Float[Tensor, "structures"]:
        return self.energy.mean(0)

    @property
    def mean_forces(self) -> Float[Tensor, "atoms 3"]:
        return self.forces.mean(0)

    @property
    def mean_stress(self) -> Float[Tensor, "structures 3 3"] | None:
        return None if self.stress is None else self.stress.mean(0)

    @property
    def energy_disagreement(self) -> Float[Tensor, "structures"]:
        """Sample standard deviation over the members, eV; zeros for a single member."""
        return _spread(self.energy)

    @property
    def force_disagreement(self) -> Float[Tensor, "atoms"]:
        """Committee force disagreement of each atom, eV/Angstrom; zeros for a single member.

        sqrt(sum_g |F_g - <F>|^2 / (G - 1)): the deviation of the force vectors (Schran, Brezina and
        Marsalek, J. Chem. Phys. 153, 104105 (2020), eq. 5, with the sample normalisation).
        """
        disagreement: Tensor = torch.linalg.vector_norm(_spread(self.forces), dim=-1)
        return disagreement


def _spread(values: Float[Tensor, "members *rest"]) -> Float[Tensor, "*rest"]:
    return values.std(0) if values.shape[0] > 1 else torch.zeros_like(values[0])


def not_finite_where_lost(prediction: CommitteePrediction, structures: Structures) -> CommitteePrediction:
    """The prediction, NaN for every structure with a position or cell that is not finite.

    No distance to such an atom is below the cutoff, so the model takes it for an isolated one and answers
    as if nothing were wrong. Without waiting for the device: 0 times a number is 0, or else NaN.
    """
    lost = 0.0 * structures.cell.flatten(1).sum(1)
    lost = lost.index_add(0, structures.structure, 0.0 * structures.positions.sum(1)).to(prediction.energy)
    stress = prediction.stress
    return CommitteePrediction(
        energy=prediction.energy + lost,
        forces=prediction.forces + lost[structures.structure, None],
        stress=None if stress is None else stress + lost[:, None, None],
    )
