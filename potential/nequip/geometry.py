"""What the model knows of an edge: harmonics and radial basis, with their derivatives.

Positions enter the model through nothing else, so that forces are one contraction of the model's
slopes with the closed derivatives below; no graph through the geometry is needed, and training,
where the positions never change, computes it once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from potential.nequip import spline
from potential.nequip.irreps import SphericalHarmonics
from potential.nequip.model_config import ModelConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """Functions of the edge vectors d = r u, shared by all members.

    Attributes:
        harmonics: Y(u), component normalised.
        harmonics_slope: dY/dd, 1/Angstrom.
        basis: radial functions of the edge: Bessel functions times the smooth cutoff for
            `radial: mlp`, the four B-splines of its interval for `radial: spline`.
        basis_slope: their derivatives by r, 1/Angstrom.
        unit: u.
        interval: the interval of the splines; None for `radial: mlp`.
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
        harmonics, by_unit = SphericalHarmonics.cached(config.l_max).with_slope(unit)
        tangent = torch.eye(3, dtype=r.dtype, device=r.device) - unit.unsqueeze(-1) * unit.unsqueeze(-2)
        interval = None
        if config.radial == "spline":
            interval, basis, basis_slope = spline.locate(r, config.r_max, config.radial_knots)
        else:
            basis, basis_slope = radial_basis(r, config)
        return cls(
            harmonics=harmonics,
            harmonics_slope=by_unit @ tangent / r.view(-1, 1, 1),
            basis=basis,
            basis_slope=basis_slope,
            unit=unit,
            interval=interval,
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


def radial_basis(
    r: Float[Tensor, "edges"], config: ModelConfig
) -> tuple[Float[Tensor, "edges bessels"], Float[Tensor, "edges bessels"]]:
    """Bessel functions times the smooth cutoff, and their derivatives by r."""
    bessel, bessel_slope = bessel_basis(r, config.r_max, config.num_bessels)
    cutoff, cutoff_slope = (
        x.unsqueeze(-1) for x in polynomial_cutoff(r, config.r_max, config.polynomial_cutoff_p)
    )
    return bessel * cutoff, bessel_slope * cutoff + bessel * cutoff_slope


def bessel_basis(
    r: Float[Tensor, "edges"], r_max: float, n_bessels: int
) -> tuple[Float[Tensor, "edges bessels"], Float[Tensor, "edges bessels"]]:
    """b_n(r) = (2 / r_max) sin(n pi r / r_max) / r for n = 1 .. n_bessels, and db_n/dr.

    Gasteiger et al., ICLR 2020 (DimeNet), eq. 7, with the prefactor of Batzner et al. 2022, eq. 8.
    """
    k = torch.arange(1, n_bessels + 1, dtype=r.dtype, device=r.device) * (math.pi / r_max)
    r = r.unsqueeze(-1)
    value = (2.0 / r_max) * torch.sin(k * r) / r
    return value, ((2.0 / r_max) * k * torch.cos(k * r) - value) / r


def polynomial_cutoff(
    r: Float[Tensor, "edges"], r_max: float, p: int
) -> tuple[Float[Tensor, "edges"], Float[Tensor, "edges"]]:
    """Smooth cutoff and its derivative: 1 at r = 0, zero beyond r_max, two continuous derivatives there.

    f(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), x = r / r_max
    f'(x) = -p(p+1)(p+2)/2 x^(p-1) (1 - x)^2
    (Gasteiger et al., ICLR 2020, eq. 8).
    """
    x = r / r_max
    inside = (x < 1.0).to(r.dtype)
    value = 1.0 - x**p * ((p + 1) * (p + 2) / 2 - x * (p * (p + 2) - x * (p * (p + 1) / 2)))
    slope = -(p * (p + 1) * (p + 2) / 2) * x ** (p - 1) * (1.0 - x) ** 2 / r_max
    return inside * value, inside * slope
