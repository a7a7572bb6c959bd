"""How precisely CUDA devices multiply float32 matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


@contextmanager
def float32_products(precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Float32 matrix products in full precision or in TF32 for the block, then as before.

    TF32 rounds the operands to 10 mantissa bits and adds up in float32. The switch is torch's own and
    belongs to the process: other threads see it while the block runs.
    """
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision
    try:
        yield
    finally:
        matmul.fp32_precision = before
