"""Every test draws the same random tensors in every run, whatever ran before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded_tensors() -> Iterator[None]:
    """torch's generator, seeded for the time of one test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
