"""`alnico md`: molecular dynamics with a potential, and a word when it leaves what the potential knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from flows.cli.output import keep_earlier, require_output
from flows.cli.reading import reading
from flows.cli.single_steps import potential_for
from flows.errors import CampaignError, ConfigError
from potential.data.config import Config
from potential.data.structure_files import frames_as_they_come
from potential.known_environments import OUTSIDE, farthest


class MDSettings(Config):
    """Of `alnico md`. Time step, friction and temperature have the bounds of a campaign's dynamics."""

    temperature_K: Annotated[float, Field(ge=0, le=1e5)]
    steps: Annotated[int, Field(ge=0, le=1_000_000_000)]
    timestep_fs: Annotated[float, Field(ge=1e-3, le=100)]
    friction_per_fs: Annotated[float, Field(ge=0, le=100)]
    every: Annotated[int, Field(ge=1, le=1_000_000_000, description="steps between written frames")]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    stop_at: Annotated[float | None, Field(gt=0, le=1e6, description="times as far from training as usual")]


def run_md(
    potential: Path,
    structure: Path,
    *,
    output: Path,
    **given: Any,
) -> None:
    """Langevin dynamics with a potential through ASE; stops when something is not finite.

    Frames are on disk as they come: what was reached stays, however the process ends.

    Args:
        potential: its folder.
        structure: file whose last structure is the first frame.
        output: extxyz; what is there already gets another name.
        given: `MDSettings`.

    Raises:
        ConfigError: for impossible settings, a folder that is no potential, an unreadable structure, or
            elements that the potential has never seen; for `stop_at` without known environments.
        CampaignError: when the dynamics explodes, or goes farther from training than `stop_at`.
    """
    import numpy as np
    from ase import units
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import thermalize_momenta

    with reading("alnico md"):
        settings = MDSettings.model_validate(given)
    require_output(output, reads=[potential, structure])
    calculator, frame = potential_for(potential, structure)
    temperature_K, timestep_fs = settings.temperature_K, settings.timestep_fs
    rng = np.random.default_rng(settings.seed)
    atoms = frame.to_atoms()
    atoms.calc = calculator
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=rng)
    dynamics = Langevin(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature_K,
        friction=settings.friction_per_fs / units.fs,
        fixcm=False,
        rng=rng,
    )
    if settings.stop_at is not None and calculator.environments is None:
        raise ConfigError(potential, ["came without its training's environments: --stop-at cannot be kept"])
    count = 0
    warned = False
    alone = calculator.members == 1
    if alone:
        print("the potential has one member, which has nobody to disagree with")
    print(
        f"{'time (fs)':>10} {'energy (eV)':>14} {'T (K)':>7} {'max disagreement (meV/Å)':>25} {'outside':>8}"
    )

    def record() -> None:
        nonlocal count, warned
        energy = atoms.get_potential_energy()
        disagreement = float(calculator.results["force_disagreement"].max())
        time_fs = dynamics.nsteps * timestep_fs
        shown = "none" if alone else f"{1000 * disagreement:.1f}"
        strange = calculator.results.get("extrapolation")
        outside = 0.0 if strange is None else float(strange.max())
        print(
            f"{time_fs:10.1f} {energy:14.4f} {atoms.get_temperature():7.0f} {shown:>25} "
            f"{'' if strange is None else f'{outside:.2f}':>8}",
            flush=True,
        )
        if not np.isfinite([energy, disagreement, *atoms.positions.ravel()]).all():
            raise CampaignError(f"the dynamics exploded before {time_fs:g} fs; lower --timestep-fs")
        write(frame.moved(atoms.positions, origin={"method": "md", "time_fs": time_fs}))
        count += 1
        if strange is not None and outside > OUTSIDE:
            said = farthest(frame.moved(atoms.positions), strange)
            if settings.stop_at is not None and outside > settings.stop_at:
                raise CampaignError(f"stopped at {time_fs:g} fs: {said} (--stop-at {settings.stop_at:g})")
            if not warned:
                print(f"warning: outside of training: {said}; do not trust what follows", file=sys.stderr)
            warned = True

    if earlier := keep_earlier(output):
        print(f"note: {output} was there already; it is {earlier} now", file=sys.stderr)
    with frames_as_they_come(output) as write:
        dynamics.attach(record, interval=settings.every)
        try:
            dynamics.run(settings.steps)
        finally:
            print(f"wrote {count} frames to {output}")
