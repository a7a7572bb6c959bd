"""Frames along energy contours: at their energy, far apart, physical, and the same for a seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ase import units

from exploration.energy_contour import modes
from exploration.frame_sources import EnergyContour
from exploration.initial import make_frames
from exploration.xtb import gfn2_xtb, relaxed_by_xtb
from potential.data.frame import Frame
from potential.data.structure_files import molecule


def energy(frame: Frame) -> float:
    atoms = frame.to_atoms()
    atoms.calc = gfn2_xtb(frame)
    return float(atoms.get_potential_energy())


@pytest.mark.parametrize(("name", "number"), [("H2O", 3), ("CO2", 4), ("H2", 1), ("CH4", 9)])
def test_modes_of_bent_and_of_straight_molecules(name: str, number: int):
    assert modes(molecule(name)) == number


@pytest.mark.physics
def test_frames_have_the_potential_energy_of_their_temperature_and_differ():
    start = molecule("CH3OH")
    config = EnergyContour(temperatures_K=(600.0,))
    frames = make_frames([start], 20, config, seed=0)
    height = modes(start) / 2 * units.kB * 600.0
    above = np.array([energy(frame) for frame in frames]) - energy(relaxed_by_xtb(start, 0.01, 500))
    assert np.mean(above) == pytest.approx(height, rel=0.1)
    assert np.std(above) < 0.15 * height
    moves = [np.abs(a.positions - b.positions).max() for a, b in pairwise(frames)]
    assert np.median(moves) > 0.1


def test_temperatures_and_starts_take_turns_and_a_seed_is_a_walk():
    starts, config = [molecule("H2O"), molecule("NH3")], EnergyContour(temperatures_K=(300.0, 900.0))
    frames = make_frames(starts, 8, config, seed=0)
    assert [f.formula for f in frames] == ["H2O", "H3N"] * 4
    assert [f.origin["temperature_K"] for f in frames] == [300.0, 300.0, 900.0, 900.0] * 2
    assert frames == make_frames(starts, 8, config, seed=0)
    assert not set(frames) & set(make_frames(starts, 8, config, seed=1))
