"""What the model knows of an edge: harmonics and radial basis, with their derivatives.

Positions enter the model through nothing else, so that forces are one contraction of the model's
slopes with the closed derivatives below; no graph through the geometry is needed, and training,
where the positions never change, computes it once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.nequip.irreps import SphericalHarmonics
from potential.nequip.model_config import ModelConfig
from potential.nequip.radial import edge_basis


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """Functions of the edge vectors d = r u, shared by all members.

    Attributes:
        harmonics: Y(u), component normalised.
        harmonics_slope: dY/dd, 1/Angstrom.
        basis: what the radial network needs of the distance (`potential.nequip.radial.EdgeBasis`).
        basis_slope: its derivative by r, 1/Angstrom.
        unit: u.
        interval: the interval of the splines; None where there are none.
    """

    harmonics: Float[Tensor, "edges harmonics"]
    harmonics_slope: Float[Tensor, "edges harmonics 3"]
    basis: Float[Tensor, "edges radial"]
    basis_slope: Float[Tensor, "edges radial"]
    unit: Float[Tensor, "edges 3"]
    interval: Int[Tensor, "edges"] | None = None

    @classmethod
    def of(cls, vectors: Float[Tensor, "edges 3"], config: ModelConfig) -> Geometry:
        """From the vectors between neighbours, Angstrom."""
        r = vectors.norm(dim=-1)
        unit = vectors / r.unsqueeze(-1)
        harmonics, by_unit = SphericalHarmonics.cached(config.l_max, r.dtype, r.device).with_slope(unit)
        tangent = torch.eye(3, dtype=r.dtype, device=r.device) - unit.unsqueeze(-1) * unit.unsqueeze(-2)
        radial = edge_basis(r, config)
        return cls(
            harmonics=harmonics,
            harmonics_slope=by_unit @ tangent / r.view(-1, 1, 1),
            basis=radial.values,
            basis_slope=radial.slopes,
            unit=unit,
            interval=radial.interval,
        )

    def slope(
        self,
        by_harmonics: Float[Tensor, "members edges harmonics"],
        by_basis: Float[Tensor, "members edges radial"],
    ) -> Float[Tensor, "members edges 3"]:
        """dE/dd from dE/dY and dE/db."""
        angular = torch.einsum("gem,emx->gex", by_harmonics, self.harmonics_slope)
        radial = (by_basis * self.basis_slope).sum(-1, keepdim=True)
        return angular + radial * self.unit

    def to(self, dtype: torch.dtype) -> Geometry:
        """In the dtype of the model (computed from positions in float64)."""
        return Geometry(
            harmonics=self.harmonics.to(dtype),
            harmonics_slope=self.harmonics_slope.to(dtype),
            basis=self.basis.to(dtype),
            basis_slope=self.basis_slope.to(dtype),
            unit=self.unit.to(dtype),
            interval=self.interval,
        )

    @classmethod
    def cat(cls, parts: list[Geometry]) -> Geometry:
        """The edges of several graphs, one after the other."""
        intervals = [p.interval for p in parts if p.interval is not None]
        return cls(
            harmonics=torch.cat([p.harmonics for p in parts]),
            harmonics_slope=torch.cat([p.harmonics_slope for p in parts]),
            basis=torch.cat([p.basis for p in parts]),
            basis_slope=torch.cat([p.basis_slope for p in parts]),
            unit=torch.cat([p.unit for p in parts]),
            interval=torch.cat(intervals) if intervals else None,
        )
