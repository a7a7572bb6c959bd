"""Has a change cost speed? `python -m benchmarks.against CHECKOUT [--members 1] [--only CASE]`.

The cases of `benchmarks.speed` in this checkout and in another one (of an older commit, say), each in a
process of its own, in turn. Prints the median milliseconds of both and the ratio other over this: above
1 this one is faster. The spread says how far the ratio of single turns scatters (10th to 90th percentile).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SERVE = """
import sys, time, torch
from benchmarks.speed import CASES, our_case
torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    what, number = line.split()
    if what == "case":
        run = our_case(CASES[int(number)], members=int(sys.argv[2]))
        for _ in range(3):
            run()
        print("TIME 0", flush=True)
    else:
        start = time.perf_counter()
        for _ in range(int(number)):
            run()
        print("TIME", (time.perf_counter() - start) / int(number), flush=True)
"""


class Checkout:
    """The benchmark's cases in a checkout, run by a process of its own."""

    def __init__(self, folder: Path, threads: int, members: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(threads), str(members)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: str) -> float:
        """Seconds of one run.

        Raises:
            RuntimeError: if the process ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("TIME "):
                return float(line.split()[1])
        raise RuntimeError(f"the checkout's process ended with {self.process.wait()}")


def turns(this: Checkout, other: Checkout, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of single runs of both, in turn, each first every other time."""
    runs = max(1, round(0.05 / max(this.ask("run 1"), 1e-4)))
    mine: list[float] = []
    theirs: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(mine) < 6:
        order = [(this, mine), (other, theirs)]
        for checkout, times in order if len(mine) % 2 else order[::-1]:
            times.append(checkout.ask(f"run {runs}"))
    return mine, theirs


def main() -> None:
    from benchmarks.speed import CASES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of the other checkout")
    parser.add_argument("--members", type=int, default=4, help="size of the committee")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=10.0, help="time spent on each case")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    given = parser.parse_args()
    here = Path(__file__).resolve().parent.parent
    this, other = (Checkout(f.resolve(), given.threads, given.members) for f in (here, given.checkout))
    print(f"{'case (times in ms)':48s}{'this':>10s}{'other':>10s}{'ratio':>8s}   spread")
    for number, case in enumerate(CASES):
        name = _name(case)
        if given.only in name:
            for checkout in (this, other):
                checkout.ask(f"case {number}")
            mine, theirs = turns(this, other, given.seconds)
            ratios = statistics.quantiles([b / a for a, b in zip(mine, theirs, strict=True)], n=10)
            a, b = statistics.median(mine), statistics.median(theirs)
            spread = f"{ratios[0]:.2f} .. {ratios[-1]:.2f}"
            print(f"{name:48s}{1e3 * a:10.2f}{1e3 * b:10.2f}{b / a:8.3f}   {spread}", flush=True)


def _name(case: dict[str, Any]) -> str:
    return "{task}, {system}, l_max {l_max}, {features} features".format(**case)


if __name__ == "__main__":
    main()
