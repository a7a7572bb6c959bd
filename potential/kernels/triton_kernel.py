"""The convolution's three primitives on a GPU: generated Triton, compiled on first use."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from potential.kernels.build import CompilerError, cache_folder
from potential.kernels.triton_source import triton_source
from potential.nequip.graph import Topology
from potential.nequip.irreps import PathTable, dimension

WARP = 32


class TritonKernel:
    """The primitives for one table, channel count and dtype.

    All three are compiled and run once here, on one edge, so that what fails, fails here.

    Raises:
        CompilerError: without Triton, or where it cannot compile or run.
    """

    def __init__(self, table: PathTable, channels: int, dtype: torch.dtype, device: torch.device) -> None:
        self.rows, self.paths = table.rows, len(table.paths)
        self.harmonics = (table.l_max + 1) ** 2
        self.components = dimension(table.irreps_in)
        self._module = load_triton(triton_source(table))
        self._block = min(WARP, 1 << (channels - 1).bit_length())
        try:
            self._try(channels, dtype, device)
        except (_triton().TritonError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise CompilerError(f"Triton failed on {device}: {type(error).__name__}: {error}") from error

    def forward(self, h: Tensor, y: Tensor, w: Tensor, topology: Topology) -> Tensor:
        h, y, w = h.contiguous(), shared(y), w.contiguous()
        members, atoms, _, channels = h.shape
        out = h.new_empty(members, atoms, self.rows, channels)
        grid = (atoms, members, self._module.PARTS * -(-channels // self._block))
        self._launch(self._module.forward, grid, [h, y, w, out, topology.row, topology.sender], h, w, y)
        return out

    def backward(self, g: Tensor, y: Tensor, w: Tensor, topology: Topology) -> Tensor:
        g, y, w = g.contiguous(), shared(y), w.contiguous()
        members, atoms, _, channels = g.shape
        out = g.new_empty(members, atoms, self.components, channels)
        tensors = [g, y, w, out, topology.column, topology.order, topology.receiver]
        grid = (atoms, members, -(-channels // self._block))
        self._launch(self._module.backward, grid, tensors, g, w, y)
        return out

    def adjoint(
        self, h: Tensor, y: Tensor, w: Tensor, g: Tensor, topology: Topology
    ) -> tuple[Tensor, Tensor]:
        h, y, w, g = h.contiguous(), shared(y), w.contiguous(), g.contiguous()
        members, edges = w.shape[:2]
        dw, dy = torch.empty_like(w), w.new_empty(members, edges, self.harmonics)
        tensors = [h, y, w, g, dw, dy, topology.sender, topology.receiver]
        self._launch(self._module.adjoint, (edges, members, 1), tensors, h, w, y)
        return dw, dy

    def _launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        tensors: list[Tensor],
        atoms: Tensor,
        edges: Tensor,
        y: Tensor,
    ) -> None:
        if 0 in grid:
            return
        stride = y.stride(0) if y.shape[0] > 1 else 0
        with torch.cuda.device_of(atoms):  # Triton launches on the current device
            function[grid](
                *tensors,
                atoms.shape[1],
                edges.shape[1],
                stride,
                U=atoms.shape[3],
                BLOCK=self._block,
                num_warps=1,
            )

    def _try(self, channels: int, dtype: torch.dtype, device: torch.device) -> None:
        zero = torch.zeros(1, dtype=torch.int64, device=device)
        topology = Topology.of(zero, zero, 1)
        h, y, w, g = (
            torch.zeros(1, 1, *shape, dtype=dtype, device=device)
            for shape in (
                (self.components, channels),
                (self.harmonics,),
                (self.paths, channels),
                (self.rows, channels),
            )
        )
        self.forward(h, y, w, topology)
        self.backward(g, y, w, topology)
        self.adjoint(h, y, w, g, topology)


def shared(y: Tensor) -> Tensor:
    """Contiguous for each member; harmonics that all members share stay one copy (stride 0)."""
    return y if y[0].is_contiguous() else y.contiguous()


@cache
def load_triton(source: str) -> ModuleType:
    """The module of `source`. Triton reads kernels from a file, so it is kept in the cache of kernels.

    Raises:
        CompilerError: without Triton, or a folder to write to.
    """
    _triton()
    folder = cache_folder()
    path = folder / f"triton_{hashlib.sha256(source.encode()).hexdigest()[:20]}.py"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as apart:
                written = Path(apart) / path.name
                written.write_text(source)
                os.replace(written, path)
    except OSError as error:
        raise CompilerError(f"cannot keep Triton kernels in {folder}: {error}; set ALNICO_CACHE") from error
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
