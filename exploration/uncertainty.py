"""How sure a committee is of each structure."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from potential.nequip.batch import CommitteePrediction, Structures


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """Committee disagreement of each structure; NaN wherever a member's prediction is.

    Attributes:
        max_force: largest force disagreement of an atom, eV/Angstrom.
        mean_force: mean force disagreement of the atoms, eV/Angstrom.
        energy_per_atom: eV/atom.
    """

    max_force: Float[Tensor, "structures"]
    mean_force: Float[Tensor, "structures"]
    energy_per_atom: Float[Tensor, "structures"]


def uncertainty(prediction: CommitteePrediction, structures: Structures) -> Uncertainty:
    """Reduce the atoms' disagreement (`CommitteePrediction.force_disagreement`) to structures."""
    atoms = prediction.force_disagreement
    zeros, n_atoms = atoms.new_zeros(structures.n_structures), structures.n_atoms
    return Uncertainty(
        max_force=zeros.scatter_reduce(0, structures.structure, atoms, reduce="amax"),
        mean_force=zeros.index_add(0, structures.structure, atoms) / n_atoms,
        energy_per_atom=prediction.energy_disagreement / n_atoms,
    )
