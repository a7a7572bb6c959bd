"""Frames of a broad test, farther out than thermal dynamics: `python -m benchmarks.broad_frames TEST.xyz`.

    python -m benchmarks.broad_frames ethanol_test_01.xyz --output broad.xyz
    alnico label broad.xyz --xc PBE --basis def2-SVP --output broad_labelled.extxyz

No committee has a say in them: 20 of dynamics with GFN2-xTB at 1000 K, 15 of the file's first frames with
every coordinate displaced by 0.05 Angstrom, and 15 along normal modes at 800 K, which stretch ethanol's
bonds by a tenth of an Angstrom as a rule, and a third at most. `alnico study` takes the labelled file as a
second test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from exploration.frame_sources import FramesConfig, NormalModes, RandomDisplacement, XtbMD
from exploration.initial import make_frames
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames

# How many, how they are made, and from how many of the file's first structures.
PARTS: tuple[tuple[int, FramesConfig, int], ...] = (
    (20, XtbMD(temperatures_K=(1000.0,)), 1),
    (15, RandomDisplacement(std_A=0.05), 15),
    (15, NormalModes(temperatures_K=(800.0,)), 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, help="frames of one molecule to start from")
    parser.add_argument("--output", type=Path, default=Path("broad.xyz"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    frames = broad_frames(read_frames(arguments.file), seed=arguments.seed)
    write_frames(arguments.output, frames)
    print(f"wrote {len(frames)} frames to {arguments.output}")


def broad_frames(start: list[Frame], *, seed: int) -> list[Frame]:
    """Frames of every part, from the first structures of `start`."""
    return [
        frame
        for n, config, n_starts in PARTS
        for frame in make_frames(start[:n_starts], n, config, seed=seed)
    ]


if __name__ == "__main__":
    main()
