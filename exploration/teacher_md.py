"""Many frames for little: molecular dynamics with a cheap method, for a committee to learn from first.

The ladder of temperatures reaches beyond those of the exploration, so that the committee has seen stretched
bonds and turned groups before it moves atoms itself; several walkers on each rung, from each structure,
do what one long trajectory does slowly. Every frame is labelled by the forces that moved it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from jaxtyping import Float64
from pydantic import Field, model_validator

from exploration.settings import Duration, MinDistanceFactor, Temperatures, Timestep
from exploration.thermal import BrokenError, relaxed, visited
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.stress import full_stress

FAILURES = (ArithmeticError, RuntimeError)
"""What a teacher raises that cannot treat a structure: tblite and ASE raise RuntimeError."""
NEAR_DUPLICATE_A = 0.003
"""Root mean square difference of the sorted distances below which two frames teach the same."""


class TeacherMD(Config):
    """Langevin dynamics with the teacher, on a ladder of temperatures."""

    temperatures_K: Annotated[
        Temperatures, Field(description="rungs; reach beyond the exploration's, to see what lies outside")
    ] = (400.0, 600.0, 800.0, 1000.0)
    walkers: Annotated[
        int, Field(ge=1, le=10_000, description="trajectories on each rung, from each structure in turn")
    ] = 4
    timestep_fs: Timestep = 1.0
    equilibration_fs: Annotated[Duration, Field(description="time before the first frame is kept")] = 200.0
    spacing_fs: Annotated[
        float, Field(gt=0, le=1e9, description="time between frames that are kept; 1e9 is a microsecond")
    ] = 10.0
    friction_per_fs: Annotated[
        float,
        Field(ge=1e-9, le=100, description="of the thermostat; 1e-9 never acts, 100 stops every motion"),
    ] = 0.02
    min_distance_factor: MinDistanceFactor = 0.5

    @model_validator(mode="after")
    def _spacing_is_reachable(self) -> TeacherMD:
        if self.spacing_fs < self.timestep_fs:
            raise ValueError(
                f"spacing_fs {self.spacing_fs} is shorter than timestep_fs {self.timestep_fs}; "
                "frames are at least one step apart, write e.g. spacing_fs: 10"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Walk:
    """One trajectory to be run: from which structure, how hot, how many frames."""

    number: int
    start: int
    temperature_K: float
    n_frames: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """A frame with what the teacher says of it: eV, eV/Angstrom, eV/Angstrom^3 (None without a cell)."""

    frame: Frame
    energy: float
    forces: Float64[np.ndarray, "atoms 3"]
    stress: Float64[np.ndarray, "3 3"] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Walked:
    """What a walk has come to; `broken` says why it ended early, if it did."""

    taught: tuple[Taught, ...]
    broken: str | None = None


def walks(n_frames: int, n_starts: int, config: TeacherMD) -> list[Walk]:
    """The walks that make `n_frames` in all; each structure and rung has its share.

    There are `walkers` on each rung, or as many more as it takes for each structure to come up there.
    """
    per_rung = max(config.walkers, n_starts)
    rungs = [(w % n_starts, t) for w in range(per_rung) for t in config.temperatures_K]
    shares = [len(part) for part in np.array_split(np.arange(n_frames), len(rungs))]
    return [
        Walk(number=i, start=start, temperature_K=temperature, n_frames=share)
        for i, ((start, temperature), share) in enumerate(zip(rungs, shares, strict=True))
        if share
    ]


def walk(
    begin: Frame,
    here: Walk,
    config: TeacherMD,
    calculator: Callable[[Frame], Calculator],
    *,
    seed: int,
) -> Walked:
    """Run one walk; the same arguments give the same frames.

    A walk that breaks (atoms too near, an SCF that does not converge) ends there and keeps what it has,
    which is nothing where the teacher cannot even relax the structure.

    Args:
        begin: the structure, of which it is first relaxed.
        calculator: the teacher for a frame.
        seed: of the velocities and the noise, with the walk's number.
    """
    taught: list[Taught] = []
    broken = None
    try:
        frames = visited(
            relaxed(begin, calculator(begin)),
            calculator(begin),
            here.n_frames,
            config,
            temperature_K=here.temperature_K,
            rng=np.random.default_rng([seed, here.number]),
            origin={"method": "teacher_md", "temperature_K": here.temperature_K, "walk": here.number},
        )
        for frame, atoms in frames:
            taught.append(_taught(frame, atoms))
            if not np.isfinite(taught[-1].energy):
                raise BrokenError(f"the teacher's energy is {taught.pop().energy}")
    except (BrokenError, *FAILURES) as error:
        broken = f"{type(error).__name__}: {str(error).strip()}"
    return Walked(taught=tuple(taught), broken=broken)


def _taught(frame: Frame, atoms: Atoms) -> Taught:
    stress = full_stress(atoms.get_stress(apply_constraint=False)) if all(frame.pbc) else None
    return Taught(
        frame=frame,
        energy=float(atoms.get_potential_energy()),
        forces=np.array(atoms.get_forces(apply_constraint=False), dtype=np.float64),
        stress=stress,
    )


def distinct(frames: Sequence[Frame]) -> list[int]:
    """The indices of those that differ from all before them by more than NEAR_DUPLICATE_A.

    Molecules of one composition are compared by their sorted interatomic distances, which neither
    turning nor relabelling like atoms changes; frames in a cell by their id alone.
    """
    from scipy.spatial import cKDTree  # with much of scipy, for which a configuration shall not wait
    from scipy.spatial.distance import pdist

    first_of_id = {frame.id: i for i, frame in reversed(list(enumerate(frames)))}
    kept = sorted(first_of_id.values())
    groups: dict[str, list[int]] = {}
    for i in kept:
        if len(frames[i]) > 1 and not any(frames[i].pbc):
            groups.setdefault(frames[i].formula, []).append(i)
    dropped: set[int] = set()
    for members in groups.values():
        distances = np.stack([np.sort(pdist(frames[i].positions)) for i in members])
        radius = NEAR_DUPLICATE_A * float(np.sqrt(distances.shape[1]))
        for first, second in sorted(cKDTree(distances).query_pairs(radius)):
            if members[first] not in dropped:
                dropped.add(members[second])
    return [i for i in kept if i not in dropped]
