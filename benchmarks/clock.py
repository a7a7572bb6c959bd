"""Seconds and megabytes of a function, on the CPU or a CUDA device. In nequip's process too: torch alone."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch


def timed(function: Callable[[], object], device: torch.device | None = None) -> Callable[[], float]:
    """The function with its seconds as result: wall clock, or from event to event of an idle CUDA device."""

    def on_host() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def on_device() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        function()
        end.record()
        torch.cuda.synchronize(device)
        return 1e-3 * start.elapsed_time(end)

    return on_device if device is not None and device.type == "cuda" else on_host


def interleave(runs: dict[str, Callable[[], float]], budget_s: float, *, turns: int = 5) -> dict[str, float]:
    """Median seconds of each, run in turn until the budget is spent (at least `turns`)."""
    for run in runs.values():
        run(), run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    while time.perf_counter() - start < budget_s or len(next(iter(times.values()))) < turns:
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def peak_megabytes(function: Callable[[], object], device: torch.device) -> float:
    """The most that one call adds to what is allocated, 10^6 bytes; on the CPU, to the resident memory."""
    if device.type != "cuda":
        with Peak() as peak:
            function()
        return peak.megabytes
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 1e6


class Peak:
    """Samples the resident memory of this process while the block runs; Linux only.

    Attributes:
        megabytes: 10^6 bytes above the level at the start.
    """

    megabytes = 0.0

    def __enter__(self) -> Self:
        self._start = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.001):
            self.megabytes = max(self.megabytes, (_resident() - self._start) / 1e6)


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
