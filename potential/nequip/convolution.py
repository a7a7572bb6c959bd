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

This is the plain torch form: it runs on every device, can be differentiated any number of times, and is
the reference. A backend (`potential.backends`) may put another module in its place.
"""

from __future__ import annotations

from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable


class Convolution(torch.nn.Module):
    """The convolution of one interaction block, for the couplings of `table`."""

    coupling: Tensor

    def __init__(self, table: PathTable) -> None:
        super().__init__()
        self.table = table
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
