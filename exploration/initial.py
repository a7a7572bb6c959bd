"""Frames to begin with: the first training frames and the frozen test set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product

import numpy as np

from exploration.draws import first_physical
from exploration.energy_contour import energy_contour_frames
from exploration.frame_sources import (
    EnergyContour,
    FramesConfig,
    FramesFromFile,
    NormalModes,
    RandomDisplacement,
    XtbMD,
)
from exploration.held import refuse_fixed_atoms
from exploration.normal_modes import normal_mode_frames
from exploration.thermal import BrokenError, visited
from exploration.xtb import FAILURES, few_threads, gfn2_xtb, relaxed_by_xtb, xtb_error
from potential.data.frame import Frame
from potential.data.notes import tell
from potential.data.role import to_learn_from, to_test_on
from potential.data.structure_files import read_frames


def make_frames(
    start: Sequence[Frame],
    n: int,
    config: FramesConfig,
    *,
    seed: int,
    exclude: Collection[Frame] = (),
    for_test: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Frame]:
    """Make `n` distinct frames.

    With another seed the frames come from other trajectories (or draws), so a test set made with its
    own seed, and with the training frames in `exclude`, is independent of them.

    Args:
        start: structures to start from; not needed where the frames come from a file.
        n: how many frames.
        config: how (one of `exploration.frame_sources`).
        seed: of velocities, noise and draws.
        exclude: frames that must not come out.
        for_test: whether they are to test on. Of a file that says so (`role`), frames of a frozen test are
            only ever tested on, and then these alone.
        progress: called with (frames made, n).

    Raises:
        ValueError: where no start is given, one with fixed atoms is to be displaced, the file holds too
            few frames, GFN2-xTB does not converge or cannot treat an element, or a frame is unphysical.
        ImportError: where `tblite` is not installed.
    """
    if n < 1:
        raise ValueError(f"number of frames is {n}, expected at least 1")
    if not start and not isinstance(config, FramesFromFile):
        raise ValueError(f"frames by {config.method} need a structure to start from, got none")
    match config:
        case XtbMD():
            source = _xtb_md(start, n, config, seed)
        case NormalModes():
            source = normal_mode_frames(start, config, seed)
        case EnergyContour():
            source = energy_contour_frames(start, config, seed)
        case RandomDisplacement():
            source = _displaced(start, config, seed)
        case FramesFromFile():
            source = _from_file(config, seed, for_test=for_test)
    frames: dict[str, Frame] = {}
    excluded = {frame.id for frame in exclude}
    for frame in source:
        if frame.id in excluded or frame.id in frames:
            continue
        frames[frame.id] = frame
        if progress is not None:
            progress(len(frames), n)
        if len(frames) == n:
            return list(frames.values())
    raise ValueError(
        f"{n} frames were asked for, but only {len(frames)} are there that are distinct and not used "
        f"otherwise ({len(excluded)} are); ask for fewer, or give a larger file"
    )


def _xtb_md(start: Sequence[Frame], n: int, config: XtbMD, seed: int) -> Iterator[Frame]:
    """One Langevin trajectory for each start and temperature, the frames shared out evenly."""
    rng = np.random.default_rng(seed)
    pairs = list(product(range(len(start)), config.temperatures_K))
    chosen = sorted(rng.permutation(len(pairs))[:n].tolist())
    shares = [len(part) for part in np.array_split(np.arange(n), len(chosen))]
    begins: dict[int, Frame] = {}
    with few_threads(start):
        for trajectory, (pair, share) in enumerate(zip(chosen, shares, strict=True)):
            i, temperature_K = pairs[pair]
            if i not in begins:
                begins[i] = relaxed_by_xtb(start[i])
            yield from _trajectory(begins[i], share, temperature_K, config, seed, trajectory)


def _trajectory(
    frame: Frame, n: int, temperature_K: float, config: XtbMD, seed: int, trajectory: int
) -> Iterator[Frame]:
    frames = visited(
        frame,
        gfn2_xtb(frame),
        n,
        config,
        temperature_K=temperature_K,
        rng=np.random.default_rng([seed, trajectory]),
        origin={
            "method": config.method,
            "temperature_K": temperature_K,
            "trajectory": trajectory,
            "seed": seed,
        },
    )
    try:
        for made, _ in frames:
            yield made
    except FAILURES as error:
        raise xtb_error(frame, error) from error
    except BrokenError as error:
        raise ValueError(f"GFN2-xTB {error}; lower temperatures_K or timestep_fs") from error


def _displaced(start: Sequence[Frame], config: RandomDisplacement, seed: int) -> Iterator[Frame]:
    """Starts in turn; draws in which atoms come too near are thrown away."""
    refuse_fixed_atoms(start)
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        base = start[number % len(start)]
        yield _displace(base, config, rng, origin={"method": config.method, "draw": number, "seed": seed})
        number += 1


def _displace(
    base: Frame, config: RandomDisplacement, rng: np.random.Generator, *, origin: dict[str, object]
) -> Frame:
    def draw() -> Frame:
        strain = _random_strain(base, config, rng)
        return base.moved(
            base.positions @ strain + rng.normal(0.0, config.std_A, base.positions.shape),
            cell=base.cell @ strain,
            origin=origin,
        )

    return first_physical(
        draw,
        config.min_distance_factor,
        said=f"with std_A {config.std_A}",
        remedy="lower std_A, e.g. 0.05",
    )


def _random_strain(base: Frame, config: RandomDisplacement, rng: np.random.Generator) -> np.ndarray:
    """1 + a symmetric strain, so that the cell is deformed and not turned; 1 where none is asked for."""
    if config.strain_std == 0:
        return np.eye(3)
    if not all(base.pbc):
        raise ValueError(
            f"strain_std {config.strain_std} deforms crystals, and {base} is not periodic in three "
            f"directions (pbc {base.pbc}); write strain_std: 0"
        )
    strain = np.triu(rng.normal(0.0, config.strain_std, (3, 3)))
    return np.eye(3) + strain + np.triu(strain, 1).T


def _from_file(config: FramesFromFile, seed: int, *, for_test: bool) -> Iterator[Frame]:
    there = read_frames(config.path, charge=config.charge, spin=config.spin)
    frames = to_test_on(there) if for_test else to_learn_from(there)
    if left_out := len(there) - len(frames):
        why = "are none of its frozen test" if for_test else "are of a frozen test and never trained on"
        tell(config.path, [f"{left_out} of {len(there)} frames {why}; they are left out (role)"])
    for i in np.random.default_rng(seed).permutation(len(frames)):
        yield frames[i]
