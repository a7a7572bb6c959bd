"""A bias towards frames on which the committee disagrees, with a strength that scales itself.

    F_i' = F_i + s (rms F / rms G) G_i,   G_i = d(sigma_E)/d(x_i),
    G_i = -1/((m - 1) sigma_E) sum_g (E_g - <E>) (F_gi - <F_i>),

so that the bias on a structure is always s times as strong as its forces (Hyperactive learning: van der Oord,
Sachs, Kovacs, Ortner and Csanyi, npj Comput. Mater. 9, 168 (2023), eqs. 6 and 10; Zaverkin et al., npj
Comput. Mater. 10, 83 (2024), which biases by calibrated gradients' uncertainty). Those average both lengths
over some steps of a trajectory; here they are those of the instant, so that a replica's next step depends on
its state alone. Such forces are not the slope of any energy: a thermostat has to take what they put in.

| symbol | variable |
|---|---|
| s | `strength` |
| E_g, F_g | `prediction.energy`, `prediction.forces` of member g of m |
| sigma_E | `prediction.energy_disagreement` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from jaxtyping import Float
from pydantic import Field

from potential.data.config import Config

if TYPE_CHECKING:
    from torch import Tensor

    from potential.force_model import ForceModel
    from potential.nequip.batch import CommitteePrediction, Structures


class Bias(Config):
    """Uncertainty-biased dynamics. The stress of moving cells stays unbiased."""

    strength: Annotated[
        float, Field(gt=0, le=10, description="length of the bias over that of the forces")
    ] = 0.25


class Biased:
    """A force model with the bias on the forces of every member, so that they disagree as before.

    Energies and stress are the committee's own.
    """

    def __init__(self, force_model: ForceModel, bias: Bias) -> None:
        self._force_model, self._strength = force_model, bias.strength

    def __call__(self, structures: Structures, *, stress: bool = False) -> CommitteePrediction:
        from potential.nequip.batch import CommitteePrediction

        prediction = self._force_model(structures, stress=stress)
        gradient = slope_of_disagreement(prediction, structures)
        push = _rms(prediction.mean_forces, structures) / _rms(gradient, structures).clamp_min(1e-12)
        bias = self._strength * push[structures.structure, None] * gradient
        return CommitteePrediction(
            energy=prediction.energy,
            forces=prediction.forces + bias.to(prediction.forces),
            stress=prediction.stress,
        )


def slope_of_disagreement(
    prediction: CommitteePrediction, structures: Structures
) -> Float[Tensor, "atoms 3"]:
    """d(sigma_E)/d(x), eV/Angstrom; zeros for a single member."""
    energy, forces = prediction.energy.double(), prediction.forces.double()
    if len(energy) < 2:
        return 0.0 * forces[0]
    weights = (energy - energy.mean(0)) / ((len(energy) - 1) * energy.std(0).clamp_min(1e-12))
    slope: Tensor = -(weights[:, structures.structure, None] * (forces - forces.mean(0))).sum(0)
    return slope


def _rms(vectors: Float[Tensor, "atoms 3"], structures: Structures) -> Float[Tensor, "structures"]:
    squares = vectors.double().square().sum(1)
    total = squares.new_zeros(structures.n_structures).index_add(0, structures.structure, squares)
    rms: Tensor = (total / structures.n_atoms).sqrt()
    return rms
