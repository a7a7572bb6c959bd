"""Energies and slopes by replay: the device is given one recorded sequence of kernels.

A force call of a small system is several hundred kernels of a few microseconds, and the host needs
longer to launch one than the device to run it. A CUDA graph launches them all at once, but its
addresses and sizes are fixed, and in dynamics the number of edges changes. So the graph of the atoms
is padded to a capacity with edges that do nothing:

| tensor                              | on these edges                                           |
|-------------------------------------|----------------------------------------------------------|
| sender, receiver                    | atom 0                                                   |
| row, column, order                  | not reached: kernels that follow them do not see them    |
| harmonics, basis, and their slopes  | 0: so is every message, and every slope of the energy    |

Other atoms, or more edges than the capacity, are recorded anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from potential.backends.backend import Backend, EnergyAndSlope, Loss
from potential.nequip.graph import Graph

# From a function on fixed tensors and their device, one that does the same again, into the same results.
Record = Callable[[Callable[[], EnergyAndSlope], torch.device], Callable[[], EnergyAndSlope]]

_STEP = 64  # capacities are its multiples


def cuda_graph(function: Callable[[], EnergyAndSlope], device: torch.device) -> Callable[[], EnergyAndSlope]:
    """Recorded as a CUDA graph (torch's documentation, "CUDA semantics", whole-network capture).

    Raises:
        RuntimeError: where the function does what cannot be recorded, such as waiting for the device.
    """
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries take their workspaces before the recording
            for _ in range(3):
                function()
        torch.cuda.current_stream().wait_stream(aside)
        recorded = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recorded):
            result = function()

    def run() -> EnergyAndSlope:
        recorded.replay()
        return result

    return run


@final
class Replayed(Backend):
    """Another backend's energies and slopes, recorded once and replayed; the rest is the other's.

    Args:
        inner: whose `energy_and_slope` reads nothing from the device and keeps the addresses of its
            weights, as `Reference` and `Fused` do.
        record: `cuda_graph`, but for tests.
    """

    def __init__(self, inner: Backend, record: Record = cuda_graph) -> None:
        self.model, self.name = inner.model, f"{inner.name}, replayed"
        self._inner, self._record = inner, record
        self._recorded: _Recorded | None = None

    def energy_and_slope(self, graph: Graph) -> EnergyAndSlope:
        recorded = self._recorded
        if recorded is None or not recorded.fits(graph):
            self._recorded = None  # its memory serves the next one
            recorded = self._recorded = self._record_for(graph)
        energy, slope = recorded.of(graph)
        return EnergyAndSlope(energy.clone(), slope[:, : len(graph.topology.sender)].clone())

    def features(self, graph: Graph) -> Float[Tensor, "members atoms channels"]:
        return self._inner.features(graph)

    def add_gradient(self, graph: Graph, loss: Loss) -> Float[Tensor, "members"]:
        return self._inner.add_gradient(graph, loss)

    def refresh(self) -> None:
        self._inner.refresh()

    def _record_for(self, graph: Graph) -> _Recorded:
        edges = len(graph.topology.sender)
        fixed = with_room(graph, _STEP * (1 + int(1.1 * edges) // _STEP))
        run = self._record(lambda: self._inner.energy_and_slope(fixed), self.model.device)
        return _Recorded(fixed=fixed, run=run, precision=_precision())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Recorded:
    """What was recorded on the tensors of `fixed`."""

    fixed: Graph
    run: Callable[[], EnergyAndSlope]
    precision: str

    @property
    def capacity(self) -> int:
        return len(self.fixed.topology.sender)

    def fits(self, graph: Graph) -> bool:
        same_atoms = len(graph.species) == len(self.fixed.species)
        return same_atoms and len(graph.topology.sender) <= self.capacity and self.precision == _precision()

    def of(self, graph: Graph) -> EnergyAndSlope:
        padded = with_room(graph, self.capacity)
        for kept, new in zip(_tensors(self.fixed), _tensors(padded), strict=True):
            kept.copy_(new)
        return self.run()


def with_room(graph: Graph, capacity: int) -> Graph:
    """The same graph, on tensors of its own, with edges that do nothing up to `capacity`."""

    def longer(x: Tensor) -> Tensor:
        return torch.cat([x, x.new_zeros(capacity - len(x), *x.shape[1:])])

    topology, geometry = graph.topology, graph.geometry
    return Graph(
        species=graph.species.clone(),
        topology=replace(
            topology,
            sender=longer(topology.sender),
            receiver=longer(topology.receiver),
            order=longer(topology.order),
            row=topology.row.clone(),
            column=topology.column.clone(),
        ),
        geometry=replace(
            geometry,
            harmonics=longer(geometry.harmonics),
            harmonics_slope=longer(geometry.harmonics_slope),
            basis=longer(geometry.basis),
            basis_slope=longer(geometry.basis_slope),
            unit=longer(geometry.unit),
            interval=None if geometry.interval is None else longer(geometry.interval),
        ),
    )


def _tensors(graph: Graph) -> list[Tensor]:
    everything = [graph.species, *vars(graph.topology).values(), *vars(graph.geometry).values()]
    return [x for x in everything if x is not None]


def _precision() -> str:
    """Of float32 matrix products; it is recorded along with them."""
    return str(torch.backends.cuda.matmul.fp32_precision)
