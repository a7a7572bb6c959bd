import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from ase.build import bulk
from pydantic import TypeAdapter, ValidationError

from exploration.diversity import internal_distances
from exploration.frame_sources import FramesConfig, FramesFromFile, RandomDisplacement, XtbMD
from exploration.initial import make_frames
from potential.data.frame import Frame
from potential.data.notes import StructureWarning
from potential.data.plausibility import closest_pair
from potential.data.structure_files import molecule, write_frames

QUICK = XtbMD(equilibration_fs=50, spacing_fs=20)


@pytest.mark.physics
def test_xtb_md_gives_distinct_physical_frames_at_every_temperature():
    progress = []
    frames = make_frames(
        [molecule("H2O")], 12, QUICK, seed=0, progress=lambda done, n: progress.append((done, n))
    )
    assert len({f.id for f in frames}) == 12
    assert sorted(f.origin["temperature_K"] for f in frames) == [300.0] * 6 + [500.0] * 6
    assert progress == [(k, 12) for k in range(1, 13)]
    shapes = [internal_distances(f) for f in frames]
    for oh1, oh2, hh in shapes:  # bonds vibrate about GFN2's 0.96 Å, and nothing falls apart
        assert 0.8 < oh1 < 1.2
        assert 0.8 < oh2 < 1.2
        assert 1.1 < hh < 2.0
    assert min(np.abs(a - b).max() for a, b in combinations(shapes, 2)) > 1e-3


def test_xtb_md_is_reproducible_and_another_seed_is_independent():
    water, config = [molecule("H2O")], XtbMD(temperatures_K=(300.0,), equilibration_fs=20, spacing_fs=10)
    training, again, test = (make_frames(water, 4, config, seed=s) for s in (1, 1, 2))
    assert training == again
    assert not set(training) & set(test)
    differences = [
        np.abs(internal_distances(a) - internal_distances(b)).max() for a in training for b in test
    ]
    assert min(differences) > 1e-3


@pytest.mark.physics
def test_charge_and_spin_reach_xtb():
    """The anion's bond is longer than the radical's; triplet CH2 is wide open, singlet CH2 is bent."""
    config = XtbMD(temperatures_K=(1.0,), equilibration_fs=0, spacing_fs=1)

    def shape(name: str, **state: int) -> np.ndarray:
        start = molecule(name, **state)
        (frame,) = make_frames([start], 1, config, seed=0)
        assert (frame.charge, frame.spin) == (start.charge, start.spin)
        return internal_distances(frame)

    assert shape("OH", charge=-1)[0] > shape("OH")[0] + 0.01
    assert shape("CH2_s1A1d", spin=2)[2] > shape("CH2_s1A1d", spin=0)[2] + 0.2  # H-H


def test_several_starts_share_the_frames():
    starts = [molecule("H2O"), molecule("NH3"), molecule("H2")]
    config = XtbMD(equilibration_fs=0, spacing_fs=5)
    frames = make_frames(starts, 9, config, seed=0)
    assert {f.formula for f in frames} == {"H2O", "H3N", "H2"}
    assert len({f.origin["trajectory"] for f in frames}) == 6
    assert len(make_frames(starts, 2, config, seed=0)) == 2


def test_an_element_that_xtb_lacks_is_named():
    with pytest.raises(ValueError, match=r"GFN2-xTB cannot treat Pu \(charge \+0.*method: displacement"):
        make_frames([Frame.of([94], [[0, 0, 0]])], 1, QUICK, seed=0)


def test_without_tblite_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tblite.ase", None)
    with pytest.raises(ImportError, match=r"pip install tblite.*method: displacement"):
        make_frames([molecule("H2O")], 1, QUICK, seed=0)


def test_random_displacements_have_the_width_and_keep_the_distances():
    ethanol = molecule("ethanol")
    frames = make_frames([ethanol], 200, RandomDisplacement(std_A=0.06), seed=0)
    shifts = np.array([f.positions - ethanol.positions for f in frames])
    assert shifts.std() == pytest.approx(0.06, rel=0.05)
    assert len(set(frames)) == 200
    pairs = [closest_pair(f) for f in frames]
    assert min(p.ratio for p in pairs if p) >= 0.65
    assert frames == make_frames([ethanol], 200, RandomDisplacement(std_A=0.06), seed=0)


def test_displacements_that_are_never_physical_are_refused():
    config = RandomDisplacement(std_A=0.3, min_distance_factor=0.99)
    message = r"no physical frame of C6H6 in 100 draws with std_A 0\.3: atoms overlap"
    with pytest.raises(ValueError, match=message):
        make_frames([molecule("benzene")], 1, config, seed=0)


def test_frames_from_a_file_are_drawn_apart(tmp_path):
    pool = make_frames([molecule("H2O")], 10, RandomDisplacement(), seed=0)
    write_frames(tmp_path / "pool.extxyz", pool)
    config = FramesFromFile(path=tmp_path / "pool.extxyz")
    training = make_frames([], 6, config, seed=0)
    test = make_frames([], 4, config, seed=1, exclude=training)
    assert set(training) | set(test) == set(pool)
    with pytest.raises(ValueError, match="5 frames were asked for, but only 4 are there"):
        make_frames([], 5, config, seed=1, exclude=training)


def test_a_frozen_test_in_a_file_is_only_tested_on(tmp_path):
    pool = make_frames([molecule("H2O")], 10, RandomDisplacement(), seed=0)
    frozen = [replace(frame, info={"role": "test"}) for frame in pool[:3]]
    write_frames(tmp_path / "pool.extxyz", [*frozen, *pool[3:]])
    config = FramesFromFile(path=tmp_path / "pool.extxyz")
    with pytest.warns(StructureWarning, match="7 of 10 frames are none of its frozen test"):
        assert set(make_frames([], 3, config, seed=0, for_test=True)) == set(pool[:3])
    with pytest.warns(StructureWarning, match="3 of 10 frames are of a frozen test and never trained on"):
        assert set(make_frames([], 7, config, seed=0)) == set(pool[3:])
    with (
        pytest.warns(StructureWarning),
        pytest.raises(ValueError, match="8 frames were asked for, but only 7 are there"),
    ):
        make_frames([], 8, config, seed=0)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="number of frames is 0"):
        make_frames([molecule("H2O")], 0, QUICK, seed=0)
    with pytest.raises(ValueError, match="need a structure to start from"):
        make_frames([], 1, QUICK, seed=0)
    reader = TypeAdapter(FramesConfig)
    assert reader.validate_python({"method": "displacement"}) == RandomDisplacement()
    with pytest.raises(ValidationError, match="spacing"):
        reader.validate_python({"method": "xtb_md", "spacing": 10})
    with pytest.raises(ValidationError, match=r"spacing_fs 0\.5 is shorter than timestep_fs 1\.0"):
        reader.validate_python({"method": "xtb_md", "spacing_fs": 0.5})
    with pytest.raises(ValidationError, match="temperatures_K"):
        reader.validate_python({"method": "xtb_md", "temperatures_K": []})


def test_crystals_are_displaced_and_strained_without_turning():
    diamond = Frame.from_atoms(bulk("C", cubic=True))
    still = make_frames([diamond], 4, RandomDisplacement(std_A=0.02), seed=0)
    assert all(np.array_equal(frame.cell, diamond.cell) and all(frame.pbc) for frame in still)

    frames = make_frames([diamond], 200, RandomDisplacement(std_A=0.02, strain_std=0.01), seed=0)
    strains = np.array([np.linalg.solve(diamond.cell, frame.cell) - np.eye(3) for frame in frames])
    assert np.abs(strains - strains.transpose(0, 2, 1)).max() < 1e-8
    assert np.allclose(strains[:, *np.triu_indices(3)].std(axis=0), 0.01, rtol=0.25)
    # Atoms follow the cell: what is left of their movement is the displacement.
    fractional = np.array([frame.positions @ np.linalg.inv(frame.cell) for frame in frames])
    moved = (fractional - diamond.positions @ np.linalg.inv(diamond.cell)) @ diamond.cell
    assert moved.std() == pytest.approx(0.02, rel=0.1)


def test_strain_of_a_molecule_is_refused():
    with pytest.raises(ValueError, match="write strain_std: 0"):
        make_frames([molecule("H2O")], 1, RandomDisplacement(strain_std=0.01), seed=0)


def test_xtb_refuses_a_cell_that_the_gamma_point_cannot_sample():
    with pytest.raises(ValueError, match=r"Gamma point only.*3\.6 Å thin.*method: displacement"):
        make_frames([Frame.from_atoms(bulk("C", cubic=True))], 1, XtbMD(), seed=0)
    slab = Frame.of([6], [[0, 0, 0]], np.diag([2.5, 20, 20]), pbc=(True, False, False))
    with pytest.raises(ValueError, match=r"2\.5 Å thin"):
        make_frames([slab], 1, XtbMD(), seed=0)
