"""The convolution: Clebsch-Gordan product with the edge, radial weights, sum over neighbours.

  out[i, (path, k), u] = sum_{e: receiver i} w[e, path, u] m[e, (path, k), u]
  m[e, (path, k), u]   = sum_{m1, m2} C^path_{k m1 m2} h[sender(e), m1, u] Y[e, m2]

(Batzner et al. 2022, eq. 3; the "uvu" product of e3nn.)

| symbol | variable  | shape                              |
|--------|-----------|------------------------------------|
| h      | features  | members atoms components channels  |
| Y      | harmonics | members edges harmonics            |
| w      | weights   | members edges paths channels       |
| C      | coupling  | harmonics rows components          |
| out    |           | members atoms rows channels        |

The paths into one target are kept apart: the linear map that follows mixes them.

On the CPU and on CUDA devices the fused kernels of `potential.kernels` do the work. The plain torch
form below runs on every device, can be differentiated any number of times, and is the reference they
are tested with.
"""

from __future__ import annotations

from itertools import groupby
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from potential.kernels.fused import fused_convolution
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable

Backend = Literal["auto", "torch"]


class Convolution(torch.nn.Module):
    """The convolution of one interaction block, for the couplings of `table`.

    Args:
        backend: "auto" takes the fused kernels where there are any for the device, "torch" the
            plain form.
    """

    coupling: Tensor

    def __init__(self, table: PathTable, backend: Backend = "auto") -> None:
        super().__init__()
        self.table = table
        self.backend = backend
        targets = [path.target.dim for path in table.paths]
        # Consecutive paths with targets of the same dimension are weighted in one operation.
        self.groups = [(dim, len(list(run))) for dim, run in groupby(targets)]
        coupling = table.coupling()
        self.n_harmonics, self.n_rows, self.n_components = coupling.shape
        self.register_buffer("coupling", coupling.flatten(1), persistent=False)

    def forward(
        self,
        features: Float[Tensor, "members atoms components channels"],
        harmonics: Float[Tensor, "members edges harmonics"],
        weights: Float[Tensor, "members edges paths channels"],
        topology: Topology,
    ) -> Float[Tensor, "members atoms rows channels"]:
        if self.backend == "auto":
            out = fused_convolution(self.table, features, harmonics, weights, topology)
            if out is not None:
                return out
        return self.plain(features, harmonics, weights, topology)

    def plain(
        self,
        features: Float[Tensor, "members atoms components channels"],
        harmonics: Float[Tensor, "members edges harmonics"],
        weights: Float[Tensor, "members edges paths channels"],
        topology: Topology,
    ) -> Float[Tensor, "members atoms rows channels"]:
        """The convolution in torch operations."""
        members, atoms, _, channels = features.shape
        edges = topology.sender.shape[0]
        rotation = (harmonics @ self.coupling).reshape(members * edges, self.n_rows, self.n_components)
        sent = features.index_select(1, topology.sender).flatten(0, 1)
        messages = torch.bmm(rotation, sent).view(members, edges, self.n_rows, channels)
        out = features.new_zeros(members, atoms, self.n_rows, channels)
        return out.index_add(1, topology.receiver, self._weight(messages, weights))

    def _weight(
        self,
        messages: Float[Tensor, "members edges rows channels"],
        weights: Float[Tensor, "members edges paths channels"],
    ) -> Float[Tensor, "members edges rows channels"]:
        rows = messages.split([dim * n for dim, n in self.groups], dim=2)
        paths = weights.split([n for _, n in self.groups], dim=2)
        return torch.cat(
            [
                (m.unflatten(2, (n, dim)) * w.unsqueeze(3)).flatten(2, 3)
                for m, w, (dim, n) in zip(rows, paths, self.groups, strict=True)
            ],
            dim=2,
        )
