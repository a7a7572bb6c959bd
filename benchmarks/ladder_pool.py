"""A pool on a ladder of temperatures, with labels that cost nothing: `python -m benchmarks.ladder_pool FILE`.

    alnico pretrain ethanol.xyz --output gfn2
    alnico labels export gfn2/teach/teacher.db labelled.extxyz
    python -m benchmarks.ladder_pool labelled.extxyz --output ladder
    alnico study ladder.yaml

FILE has the labelled dynamics of a teacher, whose frames say in which walk and at which temperature they were
met. `pool.extxyz` gets frames of every temperature, `test400.extxyz` and its like those of the last walk at
each temperature that `--tests` names; the last walks give nothing to the pool.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from potential.data.dataset import LabelledFrame
from potential.data.structure_files import read_dataset, write_frames

POOL_FRAMES = 300
"""Of each temperature."""
TEST_FRAMES = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, help="labelled frames of a teacher")
    parser.add_argument("--output", type=Path, default=Path("ladder"))
    parser.add_argument("--tests", type=float, nargs="+", default=[400.0, 600.0, 1000.0], help="kelvins")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    labelled = read_dataset(arguments.file, "teacher").items
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, items in ladder(labelled, tests=arguments.tests, seed=arguments.seed).items():
        write_frames(arguments.output / f"{name}.extxyz", items)
        print(f"wrote {len(items)} frames to {arguments.output / name}.extxyz")


def ladder(
    labelled: Sequence[LabelledFrame], *, tests: Sequence[float], seed: int
) -> dict[str, list[LabelledFrame]]:
    """The pool and the tests, by name, drawn from a teacher's walks at several temperatures (K)."""
    walks: dict[float, set[int]] = {}
    for item in labelled:
        walks.setdefault(item.frame.origin["temperature_K"], set()).add(item.frame.origin["walk"])
    last = {max(numbers) for numbers in walks.values()}
    rng, pool = np.random.default_rng(seed), list[LabelledFrame]()
    for temperature in sorted(walks):
        pool += _drawn(labelled, walks[temperature] - last, POOL_FRAMES, rng)
    return {"pool": pool} | {
        f"test{temperature:g}": _drawn(labelled, walks[temperature] & last, TEST_FRAMES, rng)
        for temperature in tests
    }


def _drawn(
    labelled: Sequence[LabelledFrame], walks: set[int], n: int, rng: np.random.Generator
) -> list[LabelledFrame]:
    """At most `n` of the frames of some walks, at random."""
    mine = [item for item in labelled if item.frame.origin["walk"] in walks]
    return [mine[i] for i in rng.permutation(len(mine))[:n]]


if __name__ == "__main__":
    main()
