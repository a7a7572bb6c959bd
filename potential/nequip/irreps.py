"""Irreps of O(3), the paths of the tensor product, and its Clebsch-Gordan table.

Every irrep carries the same number of channels, so features are `[members, atoms, components,
channels]` with the components of all irreps side by side. e3nn supplies the Wigner 3j symbols and
the basis (its real spherical harmonics); signs and order of the components are e3nn's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, order=True)
class Irrep:
    """Degree `l` and parity `p` (+1 even, -1 odd)."""

    l: int  # noqa: E741
    p: int

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    @property
    def is_scalar(self) -> bool:
        return self.l == 0 and self.p == 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


SCALAR = Irrep(0, 1)


def feature_irreps(l_max: int, parity: bool) -> tuple[Irrep, ...]:
    """Irreps of the hidden features, the scalar first.

    With `parity` both parities of each l; without, only the natural parity (-1)^l. Both keep the
    network E(3)-equivariant (nequip's `parity=False` ignores inversion and keeps only SE(3)).
    """
    irreps = [Irrep(l, (-1) ** l) for l in range(l_max + 1)]  # noqa: E741
    if parity:
        irreps += [Irrep(l, -((-1) ** l)) for l in range(l_max + 1)]  # noqa: E741
    return tuple(sorted(irreps, key=lambda ir: (ir.l, -ir.p * (-1) ** ir.l)))


def dimension(irreps: tuple[Irrep, ...]) -> int:
    """Number of components of all `irreps` together."""
    return sum(ir.dim for ir in irreps)


@dataclass(frozen=True)
class Path:
    """One coupling: feature irrep x spherical harmonic of degree `l_edge` -> output irrep."""

    source: Irrep
    l_edge: int
    target: Irrep


@dataclass(frozen=True)
class PathTable:
    """All couplings of features with the spherical harmonics of an edge.

    Attributes:
        irreps_in: irreps of the sender's features.
        l_max: highest degree of the spherical harmonics.
        paths: sorted by target irrep, in the order of `irreps_out`.
        irreps_out: the targets that at least one path reaches.
    """

    irreps_in: tuple[Irrep, ...]
    l_max: int
    paths: tuple[Path, ...]
    irreps_out: tuple[Irrep, ...]

    @classmethod
    def of(cls, irreps_in: tuple[Irrep, ...], l_max: int, wanted: tuple[Irrep, ...]) -> PathTable:
        paths = tuple(
            Path(source, l_edge, target)
            for target in wanted
            for source in irreps_in
            for l_edge in range(l_max + 1)
            if abs(source.l - l_edge) <= target.l <= source.l + l_edge
            and source.p * (-1) ** l_edge == target.p
        )
        reached = tuple(ir for ir in wanted if any(path.target == ir for path in paths))
        return cls(irreps_in, l_max, paths, reached)

    def paths_into(self, target: Irrep) -> list[int]:
        """Indices into `paths` of those that end in `target`; contiguous and ascending."""
        return [i for i, path in enumerate(self.paths) if path.target == target]

    @cached_property
    def rows(self) -> int:
        """Number of (path, component) rows of the uncontracted output."""
        return sum(path.target.dim for path in self.paths)

    def coupling(self) -> Float[Tensor, "harmonics rows components"]:
        """Dense Clebsch-Gordan table C[m2, (path, k), m1], float64.

        Rows run over the targets, then over the paths into each, then over the target's components
        k. Scaled by sqrt(2 l_out + 1), e3nn's component normalisation: inputs of unit variance give
        outputs of unit variance on each path.
        """
        offsets, start = {}, 0
        for ir in self.irreps_in:
            offsets[ir], start = start, start + ir.dim
        table = torch.zeros((self.l_max + 1) ** 2, self.rows, start, dtype=torch.float64)
        row = 0
        for path in self.paths:
            m1, m2, k = offsets[path.source], path.l_edge**2, path.target.dim
            w3j = o3.wigner_3j(path.source.l, path.l_edge, path.target.l, dtype=torch.float64)
            block = math.sqrt(k) * w3j.permute(1, 2, 0)
            table[m2 : m2 + 2 * path.l_edge + 1, row : row + k, m1 : m1 + path.source.dim] = block
            row += k
        return table


class SphericalHarmonics:
    """Real spherical harmonics of unit vectors up to degree `l_max`, component normalised.

    Built by Y_{l+1} ~ Y_l x Y_1 with e3nn's Wigner 3j symbols, so basis and signs are e3nn's
    (tested against `e3nn.o3.spherical_harmonics`).
    """

    def __init__(self, l_max: int) -> None:
        self.l_max = l_max
        self._couplings: list[Tensor] = []
        probe = torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
        previous = math.sqrt(3) * probe
        for l in range(1, l_max):  # noqa: E741
            coupling = o3.wigner_3j(l, 1, l + 1, dtype=torch.float64).reshape(-1, 2 * l + 3)
            product = _outer(previous, probe) @ coupling
            exact = o3.spherical_harmonics(l + 1, probe, normalize=False, normalization="component")
            coupling = coupling * (exact * product).sum() / (product * product).sum()
            self._couplings.append(coupling)
            previous = _outer(previous, probe) @ coupling

    @staticmethod
    @cache
    def cached(l_max: int, dtype: torch.dtype, device: torch.device) -> SphericalHarmonics:
        """With its tables on a device, where they stay: sending them with every call would block it."""
        harmonics = SphericalHarmonics(l_max)
        harmonics._couplings = [coupling.to(device, dtype) for coupling in harmonics._couplings]
        return harmonics

    def with_slope(
        self, unit: Float[Tensor, "edges 3"]
    ) -> tuple[Float[Tensor, "edges harmonics"], Float[Tensor, "edges harmonics 3"]]:
        """Y(u) and the derivative of its polynomials by the components of u."""
        identity = torch.eye(3, dtype=unit.dtype, device=unit.device).expand(len(unit), 3, 3)
        values, slopes = [torch.ones_like(unit[:, :1])], [torch.zeros_like(unit.unsqueeze(1))]
        if self.l_max > 0:
            values.append(math.sqrt(3) * unit)
            slopes.append(math.sqrt(3) * identity)
        for coupling in self._couplings:
            y, dy = values[-1], slopes[-1]
            values.append(_outer(y, unit) @ coupling)
            grown = (dy.unsqueeze(2) * unit[:, None, :, None]).flatten(1, 2)
            grown = grown + (y[:, :, None, None] * identity[:, None, :, :]).flatten(1, 2)
            slopes.append(torch.einsum("ejx,jk->ekx", grown, coupling))
        return torch.cat(values, dim=1), torch.cat(slopes, dim=1)


def _outer(a: Float[Tensor, "*batch i"], b: Float[Tensor, "*batch j"]) -> Float[Tensor, "*batch ij"]:
    return (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2)
