"""What an architecture costs, beside another: `python -m benchmarks.architectures MODEL MODEL ...`.

    python -m benchmarks.architectures '{"l_max": 3}' '{"l_max": 3, "correlation": 3, "num_layers": 2}'

Times energies with forces, and training steps, of committees with these settings of a campaign's `model:`.
The runs are interleaved; the medians are in milliseconds, with the time over that of the first.
"""

from __future__ import annotations

import argparse
import json

from benchmarks.clock import interleave, timed
from benchmarks.speed import CASES, our_case
from potential.nequip.model_config import ModelConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=json.loads, help="settings of a model")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0, help="time spent on each case")
    arguments = parser.parse_args()
    for system, task in dict.fromkeys((case["system"], case["task"]) for case in CASES):
        print(f"{task}, {system}")
        runs = {}
        for changes in arguments.models:
            config = ModelConfig(**changes | {"committee_size": arguments.members})
            case = {"system": system, "task": task, "l_max": config.l_max, "features": config.num_features}
            runs[json.dumps(changes)] = timed(our_case(case | {"model": config.model_dump()}))
        medians = interleave(runs, arguments.seconds)
        first = next(iter(medians.values()))
        for name, seconds in medians.items():
            print(f"  {1e3 * seconds:9.1f} ms {seconds / first:6.2f}  {name}", flush=True)


if __name__ == "__main__":
    main()
