"""How often each index occurs, without asking the device how large the largest is."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def count(index: Int[Tensor, "items"], n: int) -> Int[Tensor, "n"]:
    """Occurrences of 0 .. n - 1 in `index`.

    `torch.bincount` gives the same, but on CUDA devices the host waits for it to size its result.
    """
    if index.device.type == "cpu":
        return torch.bincount(index, minlength=n)
    ones = torch.ones((), dtype=torch.int64, device=index.device).expand(len(index))
    return torch.zeros(n, dtype=torch.int64, device=index.device).index_add_(0, index, ones)
