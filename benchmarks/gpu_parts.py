"""What `benchmarks.gpu` measures: the kernels against plain torch, a training step, molecular dynamics.

A part yields rows. What fails is a row that says so, and the rest goes on.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.clock import interleave, peak_megabytes, timed
from benchmarks.speed import Peer, our_case, our_model
from benchmarks.systems import SYSTEMS
from exploration.dynamics.langevin import Langevin
from potential.backends.backend import Backend
from potential.backends.derivatives import energy_and_forces
from potential.backends.fused import Fused
from potential.backends.reference import Reference
from potential.backends.replayed import Replayed, cuda_graph
from potential.data.frame import Frame
from potential.evaluator import Evaluator
from potential.kernels.triton_kernel import triton_kernel
from potential.nequip.model import NequIP
from potential.nequip.neighbors import neighbor_list

Row = dict[str, Any]
Run = Callable[[], object]

TIMESTEP_FS = 0.5
NS_PER_DAY = TIMESTEP_FS * 1e-6 * 86400  # at one step a second


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        edges: between the 12 atoms that kernels are compared on.
        steps: of dynamics in one timing, long enough that searches for neighbours are among them.
        seconds, turns: spent on the timings of each case, and how many there are at least.
    """

    device: str = "cuda"
    degrees: tuple[int, ...] = (0, 1, 2, 3)
    l_max: int = 2
    features: int = 32
    layers: int = 4
    edges: int = 200
    members: int = 4
    training: str = "5 x 21 atoms"
    dynamics: tuple[str, ...] = ("64 ethanol", "water 1536")
    steps: int = 20
    seconds: float = 6.0
    turns: int = 5

    def case(self, system: str, task: str) -> dict[str, Any]:
        """As `benchmarks.speed` and its peer understand it."""
        sizes = {"l_max": self.l_max, "features": self.features, "layers": self.layers}
        return {"system": system, "task": task, "device": self.device, **sizes}


SMOKE = Scale(
    device="cpu",
    degrees=(0, 1),
    l_max=0,
    features=3,
    layers=1,
    edges=6,
    members=2,
    training="2 hydrogen molecules",
    dynamics=("2 hydrogen molecules",),
    steps=1,
    seconds=0.0,
    turns=1,
)


def in_triton(model: NequIP) -> Backend:
    return Fused(model, triton_kernel, "Triton")


def ways(device: str) -> dict[str, Callable[[NequIP], Backend]]:
    """The project's own, where every case must run; plain torch; a CUDA graph, on the CPU just run again."""
    record = cuda_graph if device == "cuda" else lambda function, device: function
    return {
        "Triton": in_triton,
        "plain torch": Reference,
        "Triton, CUDA graph": lambda model: Replayed(in_triton(model), record),
    }


@dataclass
class Contest:
    """Ways to do one thing, timed in turn.

    Attributes:
        rows: what is known of each way, by its name.
    """

    device: torch.device
    rows: dict[str, Row] = field(default_factory=dict)
    _runs: dict[tuple[str, str], Callable[[], float]] = field(default_factory=dict)

    def enter(self, way: str, members: int, prepare: Callable[[], Row]) -> None:
        """Prepare a way: facts for its row, and under "runs" the functions that return seconds, by column."""
        row = self.rows[way] = {"way": way, "members": members}
        before = self._reserved()
        try:
            facts = prepare()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other ways are of interest
            row["failed"] = said(error)
            return
        for column, run in facts.pop("runs").items():
            self._runs[way, column] = self._guarded(row, run)
        row |= facts
        if self.device.type == "cuda" and members > 1:
            row["held_MB"] = (self._reserved() - before) / 1e6

    def time(self, seconds: float, turns: int) -> None:
        """Median milliseconds of every run, into the rows."""
        going = {key: run for key, run in self._runs.items() if "failed" not in self.rows[key[0]]}
        named = {" | ".join(key): run for key, run in going.items()}
        for name, median in (interleave(named, seconds, turns=turns) if named else {}).items():
            way, column = name.split(" | ")
            if "failed" not in self.rows[way]:
                self.rows[way][column] = 1e3 * median

    def _guarded(self, row: Row, run: Callable[[], float]) -> Callable[[], float]:
        def guarded() -> float:
            if "failed" in row:
                return math.nan
            try:
                return run()
            except Exception as error:  # noqa: BLE001 - as above
                row["failed"] = said(error)
                return math.nan

        return guarded

    def _reserved(self) -> int:
        if self.device.type != "cuda":
            return 0
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved(self.device)


def said(error: BaseException) -> str:
    """Its kind and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def train(scale: Scale, peer: str | None) -> Iterator[Row]:
    """One training step: batch, losses, gradient of the weights, Adam."""
    device, case = torch.device(scale.device), scale.case(scale.training, "train")
    contest, own = Contest(device), ways(scale.device)

    def ready(step: Run) -> Row:
        step()
        return {"peak_MB": peak_megabytes(step, device), "runs": {"ms": timed(step, device)}}

    def ours(way: str) -> Row:
        return ready(our_case(case, members=scale.members, run_by=own[way]))

    def recorded() -> Row:
        step = our_case(case, members=scale.members, run_by=in_triton, fixed_batch=True)
        return ready(replayed_step(step, device))

    for way in ("Triton", "plain torch"):
        contest.enter(way, scale.members, partial(ours, way))
    contest.enter("Triton, the step on a fixed batch as a CUDA graph", scale.members, recorded)
    with_peer(contest, peer, case, scale, column="ms")
    for row in contest.rows.values():
        yield {"case": f"training step, {scale.training}", **row}


def replayed_step(step: Run, device: torch.device) -> Run:
    """A step recorded as a CUDA graph; on the CPU the step itself."""
    if device.type != "cuda":
        return step
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def dynamics(scale: Scale, system: str, peer: str | None) -> Iterator[Row]:
    """Langevin dynamics as exploration runs it, and the force call in it.

    nequip has no dynamics of a committee of replicas: its step is counted as a force call for each member,
    without the search for neighbours.
    """
    device, contest, forces = torch.device(scale.device), Contest(torch.device(scale.device)), {}
    case = scale.case(system, "energy and forces")
    frames = [Frame.from_atoms(atoms) for atoms in SYSTEMS[system]()]

    def ours(make: Callable[[NequIP], Backend], way: str) -> Row:
        model, structures = our_model(
            system, scale.l_max, scale.features, scale.members, layers=scale.layers, device=scale.device
        )
        evaluator = Evaluator(model, device=scale.device)
        backend = evaluator.backend = make(model)
        scheme = Langevin()
        start = scheme.init(evaluator, frames, [300.0] * len(frames), seed=0)
        edges, species = neighbor_list(structures, model.config.r_max), model.species_of(structures.numbers)

        def force_call() -> Tensor:
            return energy_and_forces(backend, structures, edges, species=species).forces

        def steps() -> None:
            state = start
            for _ in range(scale.steps):
                state = scheme.step(evaluator, state, timestep_fs=TIMESTEP_FS)

        forces[way] = force_call().cpu()
        block = timed(steps, device)
        return {
            "edges": len(edges.sender),
            "force_difference_meV_A": 1e3 * float((forces[way] - next(iter(forces.values()))).abs().max()),
            "peak_MB": peak_megabytes(force_call, device),
            "runs": {"ms": lambda: block() / scale.steps, "force_call_ms": timed(force_call, device)},
        }

    for way, make in ways(scale.device).items():
        contest.enter(way, scale.members, partial(ours, make, way))
    with_peer(contest, peer, case, scale, column="force_call_ms")
    for row in contest.rows.values():
        if "force_call_ms" in row and row["members"] == 1:
            row["ms"] = scale.members * row["force_call_ms"]
        if "ms" in row:
            row["ns_per_day"] = 1e3 * len(frames) * NS_PER_DAY / row["ms"]
        yield {"case": f"dynamics, {system}", **row}


def with_peer(
    contest: Contest, python: str | None, case: dict[str, Any], scale: Scale, *, column: str
) -> None:
    """Enter nequip, one model, where there is one; then time everything."""
    peer = Peer(python, torch.get_num_threads()) if python else None

    def prepare(form: str) -> Row:
        assert peer is not None
        run, megabytes = peer.case(case, form=form)
        return {"peak_MB": megabytes, "runs": {column: run}}

    try:
        if peer is not None:
            for form in ("eager", "OpenEquivariance"):
                contest.enter(f"nequip, {form}", 1, partial(prepare, form))
        contest.time(scale.seconds, scale.turns)
    finally:
        if peer is not None:
            peer.close()
