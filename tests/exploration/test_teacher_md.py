"""The teacher's walks: where they go, what they say, what is left out."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.cluster import Octahedron

from exploration.teacher_md import TeacherMD, Walk, distinct, walk, walks
from exploration.xtb import gfn2_xtb
from potential.data.frame import Frame
from tests.support.systems import iron

SHORT = TeacherMD(temperatures_K=(300.0, 900.0), walkers=2, timestep_fs=5.0, equilibration_fs=200.0)
COPPER = Frame.from_atoms(Octahedron("Cu", 2))


def emt(frame: Frame) -> EMT:
    return EMT()


def test_every_structure_and_rung_has_its_share():
    made = walks(100, 3, SHORT)
    assert sum(w.n_frames for w in made) == 100
    assert {(w.start, w.temperature_K) for w in made} == {(s, t) for s in range(3) for t in (300.0, 900.0)}
    assert max(w.n_frames for w in made) - min(w.n_frames for w in made) <= 1
    assert [w.number for w in made] == list(range(len(made)))
    assert len(walks(3, 1, SHORT)) == 3  # no empty walk


def test_labels_are_those_of_the_calculator_at_the_frame():
    walked = walk(COPPER, Walk(number=1, start=0, temperature_K=900.0, n_frames=5), SHORT, emt, seed=0)
    assert walked.broken is None
    for item in walked.taught:
        atoms = item.frame.to_atoms()
        atoms.calc = EMT()
        assert item.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert item.forces == pytest.approx(atoms.get_forces(), abs=1e-5)
        assert item.stress is None


def test_a_walk_is_the_same_each_time_and_differs_from_its_neighbours():
    def ids(number: int, seed: int = 0) -> list[str]:
        here = Walk(number=number, start=0, temperature_K=300.0, n_frames=3)
        return [item.frame.id for item in walk(COPPER, here, SHORT, emt, seed=seed).taught]

    assert ids(0) == ids(0)
    assert not set(ids(0)) & (set(ids(1)) | set(ids(0, seed=1)))


def test_hotter_walkers_are_farther_from_the_minimum():
    def energy(temperature_K: float) -> float:
        here = Walk(number=0, start=0, temperature_K=temperature_K, n_frames=20)
        return float(np.mean([t.energy for t in walk(COPPER, here, SHORT, emt, seed=0).taught]))

    assert energy(900.0) > energy(300.0) + 0.1


def test_a_walk_that_breaks_keeps_what_it_has():
    """At 3000 K copper atoms soon come nearer than four fifths of their radii's sum."""
    config = SHORT.model_copy(update={"min_distance_factor": 0.8, "equilibration_fs": 0.0})
    here = Walk(number=0, start=0, temperature_K=3000.0, n_frames=200)
    walked = walk(COPPER, here, config, emt, seed=0)
    assert walked.broken is not None
    assert "MD at 3000 K broke Cu6 at step" in walked.broken
    assert 0 < len(walked.taught) < 200


def test_a_structure_that_the_teacher_cannot_relax_is_a_walk_that_breaks():
    here = Walk(number=0, start=0, temperature_K=400.0, n_frames=5)
    walked = walk(iron(), here, SHORT, gfn2_xtb, seed=0)
    assert walked.taught == ()
    assert walked.broken is not None
    assert "SCF not converged" in walked.broken


def test_turned_moved_and_relabelled_frames_are_alike():
    water = Frame.from_atoms(molecule("H2O"))
    turned = molecule("H2O")
    turned.rotate(70, (1, 2, 3))
    turned.translate([1, 2, 3])
    swapped = water.moved(water.positions[[0, 2, 1]])
    stretched = water.moved(1.05 * water.positions)
    frames = [water, Frame.from_atoms(turned), swapped, stretched, water]
    assert distinct(frames) == [0, 3]
