"""Every test draws the same random numbers in every run, whatever ran before it."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# The same examples in every run, and no time limit on one: the machine may be busy.
settings.register_profile(
    "tests", derandomize=True, deadline=None, max_examples=25, database=None, report_multiple_bugs=False
)
settings.load_profile("tests")

# Python looks for garbage whenever 700 objects were made; with all that the packages keep, that is a sixth
# of the suite's time.
gc.set_threshold(50_000, 20, 20)

# A shell's background job ignores Ctrl-C, and so would the programs that tests stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def seeded_tensors() -> Iterator[None]:
    """torch's generator, seeded for the time of one test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
