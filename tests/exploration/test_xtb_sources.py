"""Frames along normal modes and energy contours of GFN2-xTB: their energies, no drift, and what a seed is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ase import units

from exploration.energy_contour import modes
from exploration.frame_sources import EnergyContour, NormalModes
from exploration.initial import make_frames
from exploration.xtb import gfn2_xtb, minimum_by_xtb, relaxed_by_xtb
from potential.data.frame import Frame
from potential.data.structure_files import molecule


def energy(frame: Frame) -> float:
    atoms = frame.to_atoms()
    atoms.calc = gfn2_xtb(frame)
    return float(atoms.get_potential_energy())


@pytest.mark.physics
@pytest.mark.parametrize(("name", "number"), [("H2O", 3), ("CO2", 4)])  # a linear molecule has one more
def test_each_mode_holds_half_a_kt(name: str, number: int):
    start = molecule(name)
    frames = make_frames([start], 300, NormalModes(temperatures_K=(20.0,)), seed=0)
    lowest = energy(relaxed_by_xtb(start, 0.001, 500))
    mean = np.mean([energy(frame) for frame in frames]) - lowest
    # the mean of 300 draws of three modes' energy scatters by sqrt(2 / (3 * 300)) = 5 %
    assert mean == pytest.approx(number / 2 * units.kB * 20.0, rel=0.15)


@pytest.mark.physics
def test_along_normal_modes_nothing_moves_or_turns_as_a_whole():
    water = molecule("H2O")
    masses = water.to_atoms().get_masses()
    minimum = minimum_by_xtb(water)
    for frame in make_frames([water], 20, NormalModes(), seed=1):
        moved = frame.positions - minimum.positions
        assert np.abs(masses @ moved).max() < 1e-6
        assert np.abs((masses[:, None] * np.cross(minimum.positions, moved)).sum(0)).max() < 1e-6


@pytest.mark.parametrize(("name", "number"), [("H2O", 3), ("CO2", 4), ("H2", 1), ("CH4", 9)])
def test_modes_of_bent_and_of_straight_molecules(name: str, number: int):
    assert modes(molecule(name)) == number


@pytest.mark.physics
def test_along_a_contour_frames_have_the_potential_energy_of_their_temperature_and_differ():
    start = molecule("CH3OH")
    frames = make_frames([start], 20, EnergyContour(temperatures_K=(600.0,)), seed=0)
    height = modes(start) / 2 * units.kB * 600.0
    above = np.array([energy(frame) for frame in frames]) - energy(minimum_by_xtb(start))
    assert np.mean(above) == pytest.approx(height, rel=0.1)
    assert np.std(above) < 0.15 * height
    moves = [np.abs(a.positions - b.positions).max() for a, b in pairwise(frames)]
    assert np.median(moves) > 0.1


@pytest.mark.parametrize("source", [NormalModes, EnergyContour])
def test_temperatures_and_starts_take_turns_and_a_seed_gives_the_same(
    source: type[NormalModes | EnergyContour],
):
    starts, config = [molecule("H2O"), molecule("NH3")], source(temperatures_K=(300.0, 900.0))
    frames = make_frames(starts, 8, config, seed=0)
    assert [f.formula for f in frames] == ["H2O", "H3N"] * 4
    assert [f.origin["temperature_K"] for f in frames] == [300.0, 300.0, 900.0, 900.0] * 2
    assert frames == make_frames(starts, 8, config, seed=0)
    assert not set(frames) & set(make_frames(starts, 8, config, seed=1))
