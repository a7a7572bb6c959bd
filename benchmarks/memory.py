"""Memory of energies and forces: `python -m benchmarks.memory [--peer PYTHON]`.

Each case runs in a fresh process that has evaluated ethanol before; the peak of its resident memory
above the level before the call. l_max 2, 32 features, as in `benchmarks.speed`; Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self


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


def _ours(system: str, members: int) -> float:
    """Megabytes of one call of our model, in this process."""
    from benchmarks.speed import our_case

    case = {"task": "energy and forces", "l_max": 2, "features": 32}
    warm = our_case({**case, "system": "ethanol"}, members=members)
    warm()
    run = our_case({**case, "system": system}, members=members)
    with Peak() as peak:
        run()
    return peak.megabytes


def _report(system: str, what: str, atoms: int, megabytes: float) -> None:
    print(
        f"{system:12s} {what:20s} {megabytes:8.0f} MB {atoms * 1074 / megabytes:8.0f} atoms/GiB", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="python of an environment with nequip 0.19")
    parser.add_argument("--one", nargs=2, metavar=("SYSTEM", "MEMBERS"), help="one case, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(_ours(arguments.one[0], int(arguments.one[1])))
        return
    atoms = {"water 192": 192, "water 1536": 1536}
    for system, n in atoms.items():
        for members in (1, 4):
            command = [sys.executable, "-m", "benchmarks.memory", "--one", system, str(members)]
            megabytes = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            _report(system, f"ours, {members} member(s)", n, megabytes)
    if arguments.peer:
        from benchmarks.speed import Peer

        peer = Peer(arguments.peer, 2)
        case = {"task": "energy and forces", "l_max": 2, "features": 32, "compiled": False}
        peer.ask({**case, "system": "ethanol"})
        megabytes = peer.ask({**case, "system": "water 192"})["peak_MB"]
        _report("water 192", "nequip, eager", 192, megabytes)


if __name__ == "__main__":
    main()
