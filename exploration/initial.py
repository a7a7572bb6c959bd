"""Frames to begin with: the first training frames and the frozen test set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, InputError
from threadpoolctl import threadpool_limits

from exploration.held import refuse_fixed_atoms
from exploration.settings import FramesConfig, FramesFromFile, RandomDisplacement, XtbMD
from exploration.thermal import BrokenError, relaxed, visited
from potential.data.frame import Frame
from potential.data.notes import tell
from potential.data.plausibility import check_frame, thickness
from potential.data.role import to_learn_from, to_test_on
from potential.data.structure_files import read_frames

XTB_MIN_CELL_A = 8.0
DRAWS_PER_FRAME = 100
# Below this size, xTB's threads cost more than they save, and very much more on a busy machine.
THREADS_HELP_FROM_ATOMS = 40


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
        config: how (`XtbMD`, `RandomDisplacement` or `FramesFromFile`).
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
    gfn2_xtb(start[0])  # loads the library, so that its threads can be limited
    small = max(len(frame) for frame in start) < THREADS_HELP_FROM_ATOMS
    with threadpool_limits(1 if small else None):
        for trajectory, (pair, share) in enumerate(zip(chosen, shares, strict=True)):
            i, temperature_K = pairs[pair]
            if i not in begins:
                begins[i] = _relaxed(start[i])
            yield from _trajectory(begins[i], share, temperature_K, config, seed, trajectory)


def _relaxed(frame: Frame) -> Frame:
    try:
        return relaxed(frame, gfn2_xtb(frame))
    except (CalculationFailed, InputError) as error:
        raise _xtb_error(frame, error) from error


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
    except (CalculationFailed, InputError) as error:
        raise _xtb_error(frame, error) from error
    except BrokenError as error:
        raise ValueError(f"GFN2-xTB {error}; lower temperatures_K or timestep_fs") from error


def gfn2_xtb(frame: Frame) -> Calculator:
    """GFN2-xTB (Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) for `frame`.

    Raises:
        ImportError: where `tblite` is not installed.
        ValueError: for a cell too small for the Gamma point.
    """
    _refuse_what_gamma_cannot_sample(frame)
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise ImportError(
            "frames by xtb_md need tblite, which cannot be imported: pip install tblite; "
            "or write method: displacement, which needs nothing"
        ) from error
    return TBLite(method="GFN2-xTB", charge=frame.charge, multiplicity=frame.spin + 1, verbosity=0)


def _refuse_what_gamma_cannot_sample(frame: Frame) -> None:
    """tblite has no other k-points: diamond's 2-atom cell lies 12 eV/atom above its 8-atom cell."""
    thinnest = thickness(frame)
    if not thinnest >= XTB_MIN_CELL_A:
        raise ValueError(
            f"GFN2-xTB (tblite) has the Gamma point only, and the cell of {frame.formula} is "
            f"{thinnest:.1f} Å thin, expected at least {XTB_MIN_CELL_A:g}; make the frames by "
            "method: displacement, or start from a larger supercell"
        )


def _xtb_error(frame: Frame, error: Exception) -> ValueError:
    return ValueError(
        f"GFN2-xTB cannot treat {frame.formula} (charge {frame.charge:+d}, spin {frame.spin}): "
        f"{str(error).strip()}; check charge and spin, or make the frames by method: displacement or file"
    )


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
    for _ in range(DRAWS_PER_FRAME):
        strain = _random_strain(base, config, rng)
        moved = base.moved(
            base.positions @ strain + rng.normal(0.0, config.std_A, base.positions.shape),
            cell=base.cell @ strain,
            origin=origin,
        )
        try:
            check_frame(moved, min_distance_factor=config.min_distance_factor)
        except ValueError as error:
            refusal = error
        else:
            return moved
    raise ValueError(
        f"no physical frame of {base.formula} in {DRAWS_PER_FRAME} draws with std_A {config.std_A}: "
        f"{refusal}; lower std_A, e.g. 0.05"
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
