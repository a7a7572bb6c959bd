"""How much arithmetic a case needs, and how fast this machine multiplies matrices.

Operations are those of the compiled model's algorithm (`potential/kernels/block.py`), a fused
multiply-add counted as two; what hides in exponentials and in the geometry of the edges is left out.
"""

from __future__ import annotations

import time

import torch

from potential.kernels.couplings import path_codes
from potential.nequip.model import NequIP


def operations(model: NequIP, atoms: int, edges: int, *, training: bool) -> float:
    """Floating-point operations of energies with forces, or of a training step, of all members."""
    config, total = model.config, 0.0
    channels, coefficients = config.num_features, config.radial_knots + 2
    for block in model.interactions():
        table = block.table
        linear = sum(ir.dim for ir in table.irreps_in) * channels**2
        update = 0
        for target in table.irreps_out:
            matrices = len(table.paths_into(target)) + (target in table.irreps_in)
            width = channels * (1 + len(block.gated) if target.is_scalar else 1)
            update += matrices * target.dim * channels * width
        evaluate = dual = 0
        for code in path_codes(table):
            n, rows, columns = len(code.entries), code.dim, 2 * code.degrees[0] + 1
            evaluate += (4 + n + rows) + (8 + 2 * n + rows + 2 * columns)
            dual += (8 + 3 * n + 3 * rows) + (16 + 3 * n + 7 * columns)
        per_edge, passes = evaluate, 2
        if training:
            per_edge, passes = evaluate + dual, 8
            width = config.radial_mlp_width
            total += 3 * coefficients * (coefficients - 2 + len(table.paths) * channels) * width
        total += edges * channels * per_edge + passes * atoms * (linear + update)
    return 2.0 * model.members * total


def matrix_rate(seconds: float = 0.5) -> float:
    """Operations per second of float32 matrix products of 1024 x 1024, the best of several."""
    a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best
