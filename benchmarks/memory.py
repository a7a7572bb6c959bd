"""Memory of energies and forces: `python -m benchmarks.memory [--peer PYTHON]`.

Each case runs in a fresh process that has evaluated ethanol before; the peak of its resident memory
above the level before the call. l_max 2, 32 features, as in `benchmarks.speed`; Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.clock import Peak


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
        case = {"task": "energy and forces", "l_max": 2, "features": 32, "form": "eager"}
        peer.ask({**case, "system": "ethanol"})
        megabytes = peer.ask({**case, "system": "water 192"})["peak_MB"]
        _report("water 192", "nequip, eager", 192, megabytes)


if __name__ == "__main__":
    main()
