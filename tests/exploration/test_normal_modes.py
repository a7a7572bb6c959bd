"""Frames along normal modes: the energy of a harmonic well, no drift, physical at every temperature."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units

from exploration.frame_sources import NormalModes
from exploration.initial import make_frames
from exploration.xtb import gfn2_xtb, relaxed_by_xtb
from potential.data.frame import Frame
from potential.data.structure_files import molecule


def energy(frame: Frame) -> float:
    atoms = frame.to_atoms()
    atoms.calc = gfn2_xtb(frame)
    return float(atoms.get_potential_energy())


@pytest.mark.physics
@pytest.mark.parametrize(("name", "modes"), [("H2O", 3), ("CO2", 4)])  # a linear molecule has one more
def test_each_mode_holds_half_a_kt(name: str, modes: int):
    start = molecule(name)
    frames = make_frames([start], 300, NormalModes(temperatures_K=(20.0,)), seed=0)
    lowest = energy(relaxed_by_xtb(start, 0.001, 500))
    mean = np.mean([energy(frame) for frame in frames]) - lowest
    # the mean of 300 draws of three modes' energy scatters by sqrt(2 / (3 * 300)) = 5 %
    assert mean == pytest.approx(modes / 2 * units.kB * 20.0, rel=0.15)


@pytest.mark.physics
def test_nothing_moves_or_turns_as_a_whole():
    water = molecule("H2O")
    masses = water.to_atoms().get_masses()
    minimum = relaxed_by_xtb(water, 0.01, 500)
    for frame in make_frames([water], 20, NormalModes(), seed=1):
        moved = frame.positions - minimum.positions
        assert np.abs(masses @ moved).max() < 1e-6
        assert np.abs((masses[:, None] * np.cross(minimum.positions, moved)).sum(0)).max() < 1e-6


def test_temperatures_and_starts_take_turns_and_a_seed_is_a_draw():
    starts, config = [molecule("H2O"), molecule("NH3")], NormalModes(temperatures_K=(300.0, 900.0))
    frames = make_frames(starts, 8, config, seed=0)
    assert [f.formula for f in frames] == ["H2O", "H3N"] * 4
    assert [f.origin["temperature_K"] for f in frames] == [300.0, 300.0, 900.0, 900.0] * 2
    assert frames == make_frames(starts, 8, config, seed=0)
    assert not set(frames) & set(make_frames(starts, 8, config, seed=1))
