"""The convolution's three primitives on a GPU: generated Triton, compiled on first use."""

from __future__ import annotations

import hashlib
import linecache
import subprocess
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch

from potential.kernels.build import CompilerError
from potential.kernels.primitives import Primitives
from potential.kernels.triton_source import triton_source
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, dimension

WARP = 32


@cache
def triton_kernel(table: PathTable, channels: int, dtype: torch.dtype, device: torch.device) -> Primitives:
    """The primitives on a GPU.

    All three are compiled and run once here, on one edge, so that what fails, fails here.

    Raises:
        CompilerError: without Triton, or where it cannot compile or run.
    """
    module = load_triton(triton_source(table))
    block = min(WARP, 1 << (channels - 1).bit_length())
    blocks = -(-channels // block)
    kernels = Primitives(
        table,
        _Launch(module.forward, "atoms", module.PARTS * blocks, channels, block),
        _Launch(module.backward, "atoms", blocks, channels, block),
        _Launch(module.adjoint, "edges", 1, channels, block),
    )
    try:
        _try(kernels, table, channels, dtype, device)
    except (_triton().TritonError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise CompilerError(f"Triton failed on {device}: {type(error).__name__}: {error}") from error
    return kernels


@dataclass(frozen=True)
class _Launch:
    """A kernel on its grid: `over` (atoms or edges), members, `programs`."""

    function: Any
    over: str
    programs: int
    channels: int
    block: int

    def __call__(self, **arguments: Any) -> None:
        members, copies = arguments.pop("members"), arguments.pop("copies")
        grid = (arguments[self.over], members, self.programs)
        if 0 in grid:
            return
        y = arguments["y"]
        with torch.cuda.device_of(y):  # Triton launches on the current device
            self.function[grid](
                **arguments,
                y_stride=0 if copies == 1 else y.stride(0),
                U=self.channels,
                BLOCK=self.block,
                num_warps=1,
            )


def _try(
    kernels: Primitives, table: PathTable, channels: int, dtype: torch.dtype, device: torch.device
) -> None:
    zero = torch.zeros(1, dtype=torch.int64, device=device)
    topology = Topology.of(zero, zero, 1)
    shapes = (
        (dimension(table.irreps_in), channels),
        ((table.l_max + 1) ** 2,),
        (len(table.paths), channels),
        (table.rows, channels),
    )
    h, y, w, g = (torch.zeros(1, 1, *shape, dtype=dtype, device=device) for shape in shapes)
    kernels.forward(h, y, w, topology)
    kernels.backward(g, y, w, topology)
    kernels.adjoint(h, y, w, g, topology)


@cache
def load_triton(source: str) -> ModuleType:
    """The module of `source`, in memory: no file that another could write is ever executed.

    Triton reads the text of a kernel by way of `inspect`, which finds it in `linecache`.

    Raises:
        CompilerError: without Triton.
    """
    _triton()
    digest = hashlib.sha256(source.encode()).hexdigest()[:20]
    file = f"<triton kernels {digest}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = ModuleType(f"triton_{digest}")
    exec(compile(source, file, "exec"), module.__dict__)
    return module


def _triton() -> ModuleType:
    try:
        import triton
    except ImportError as error:
        raise CompilerError(
            f"cannot import Triton ({error}); PyTorch's CUDA builds bring it along, or pip install triton"
        ) from error
    module: ModuleType = triton
    return module
