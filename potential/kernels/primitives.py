"""The convolution's three primitives as functions of tensors, whatever compiled them."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, dimension

# A compiled primitive takes tensors and sizes by name, and fills those tensors that it is to write.
Kernel = Callable[..., None]


class Primitives:
    """F, B and A (`potential.kernels.source`) for the paths of `table`.

    The kernels get contiguous tensors by name, with the sizes members, atoms, edges, and the number of
    copies of the harmonics: one that all members share, or one for each.
    """

    def __init__(self, table: PathTable, forward: Kernel, backward: Kernel, adjoint: Kernel) -> None:
        self._rows, self._components = table.rows, dimension(table.irreps_in)
        self._harmonics = (table.l_max + 1) ** 2
        self._forward, self._backward, self._adjoint = forward, backward, adjoint

    def forward(
        self,
        h: Float[Tensor, "members atoms components channels"],
        y: Float[Tensor, "members edges harmonics"],
        w: Float[Tensor, "members edges paths channels"],
        topology: Topology,
    ) -> Float[Tensor, "members atoms rows channels"]:
        out = h.new_empty(*h.shape[:2], self._rows, h.shape[3])
        self._forward(
            h=h.contiguous(), out=out, row=topology.row, send=topology.sender, **_edges(y, w, h.shape[1])
        )
        return out

    def backward(
        self,
        g: Float[Tensor, "members atoms rows channels"],
        y: Float[Tensor, "members edges harmonics"],
        w: Float[Tensor, "members edges paths channels"],
        topology: Topology,
    ) -> Float[Tensor, "members atoms components channels"]:
        out = g.new_empty(*g.shape[:2], self._components, g.shape[3])
        self._backward(
            g=g.contiguous(),
            out=out,
            column=topology.column,
            order=topology.order,
            receive=topology.receiver,
            **_edges(y, w, g.shape[1]),
        )
        return out

    def adjoint(
        self,
        h: Float[Tensor, "members atoms components channels"],
        y: Float[Tensor, "members edges harmonics"],
        w: Float[Tensor, "members edges paths channels"],
        g: Float[Tensor, "members atoms rows channels"],
        topology: Topology,
    ) -> tuple[Float[Tensor, "members edges paths channels"], Float[Tensor, "members edges harmonics"]]:
        edges = _edges(y, w, h.shape[1])
        dw, dy = w.new_empty(w.shape), w.new_empty(*w.shape[:2], self._harmonics)
        self._adjoint(
            h=h.contiguous(),
            g=g.contiguous(),
            dw=dw,
            dy=dy,
            row=topology.row,
            send=topology.sender,
            receive=topology.receiver,
            **edges,
        )
        return dw, dy


def _edges(y: Tensor, w: Tensor, atoms: int) -> dict[str, Tensor | int]:
    """The arguments of all three, and the sizes. Members with one storage of harmonics share one copy."""
    y = (y if y.stride(0) else y[:1]).contiguous()
    return {
        "y": y,
        "w": w.contiguous(),
        "members": w.shape[0],
        "atoms": atoms,
        "edges": w.shape[1],
        "copies": y.shape[0],
    }
