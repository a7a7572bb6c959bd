import json
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.build import molecule as ase_molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import molecule, read_dataset, read_frames, write_frames


def shaken(name: str, n: int, seed: int = 0) -> list[Frame]:
    start, rng = molecule(name), np.random.default_rng(seed)
    return [
        start.moved(start.positions + rng.normal(0, 0.05, (len(start), 3)), origin={"step": i})
        for i in range(n)
    ]


@pytest.mark.parametrize("file", ["a.xyz", "a.extxyz", "a.cif", "POSCAR", "a.traj", "a.db", "a.json"])
def test_reads_what_ase_writes(tmp_path, file):
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    path = tmp_path / file
    if file == "a.db":
        connect(path).write(atoms)
    else:
        ase.io.write(path, atoms)
    (frame,) = read_frames(path)
    assert frame.formula == "Cl4Na4"
    np.testing.assert_allclose(np.sort(frame.positions, 0), np.sort(atoms.positions, 0), atol=1e-4)
    assert frame.pbc == (True, True, True) or file == "a.xyz"


def test_falls_back_on_pymatgen(tmp_path):
    from pymatgen.core import Molecule

    path = tmp_path / "water.json"
    water = Molecule(
        ["O", "H", "H"],
        np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
        charge=1,
        spin_multiplicity=2,
    )
    path.write_text(json.dumps(water.as_dict()))
    (frame,) = read_frames(path)
    assert (frame.formula, frame.charge, frame.spin) == ("H2O", 1, 1)


def test_charge_and_spin_come_from_the_file_and_can_be_overridden(tmp_path):
    path = tmp_path / "oh.xyz"
    atoms = ase_molecule("OH")
    atoms.set_initial_magnetic_moments(None)
    ase.io.write(path, atoms, format="extxyz")
    (radical,) = read_frames(path)
    assert (radical.charge, radical.spin) == (0, 1)
    (anion,) = read_frames(path, charge=-1)
    assert (anion.charge, anion.spin) == (-1, 0)
    with pytest.raises(ValueError, match=r"structure 0: spin 1 is impossible.*10 electrons"):
        read_frames(path, charge=-1, spin=1)


def test_index_selects(tmp_path):
    write_frames(tmp_path / "f.extxyz", shaken("H2O", 5))
    assert [f.origin["step"] for f in read_frames(tmp_path / "f.extxyz", index="::2")] == [0, 2, 4]
    assert len(read_frames(tmp_path / "f.extxyz", index="-1")) == 1


def test_missing_empty_and_unreadable_files_are_told_apart(tmp_path):
    (tmp_path / "here.xyz").write_text("1\n\nH 0 0 0\n")
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.xyz.*here\.xyz"):
        read_frames(tmp_path / "gone.xyz")
    (tmp_path / "empty.xyz").touch()
    with pytest.raises(ValueError, match=r"empty\.xyz is empty"):
        read_frames(tmp_path / "empty.xyz")
    (tmp_path / "junk.xyz").write_text("this is no structure\n")
    with pytest.raises(ValueError, match=r"cannot read .*junk\.xyz: line 1 is 'this is no structure'"):
        read_frames(tmp_path / "junk.xyz")
    with pytest.raises(ValueError, match="is a folder"):
        read_frames(tmp_path)


def test_an_impossible_structure_is_named_with_its_index(tmp_path):
    good = molecule("H2O")
    bad = good.positions.copy()
    bad[2] = bad[1] + [0, 0, 0.1]
    write_frames(tmp_path / "f.extxyz", [good, good.moved(bad)])
    with pytest.raises(ValueError, match=r"structure 1: atoms overlap: H1-H2 0\.100 Å"):
        read_frames(tmp_path / "f.extxyz")
    assert len(read_frames(tmp_path / "f.extxyz", check=False)) == 2


def test_frames_survive_a_round_trip(tmp_path):
    origin = {
        "round": 2,
        "replica": 3,
        "start": "12e4567890123456",
        "note": "a \"b\" 'c' \\ 100% [é]",
        "x": None,
    }
    rng = np.random.default_rng(1)
    crystal = Frame.of([11, 17], [[0, 0, 0], rng.normal(3, 0.2, 3)], np.diag([5.1, 6.2, 7.3]) + 1 / 3, True)
    frames = [
        *shaken("CH3CH2OH", 20),
        Frame.of([8, 1], [[0, 0, 1e-8], [834.5678, -0.0, 1 / 3]], charge=-1, spin=2, origin=origin),
        crystal,
    ]
    write_frames(tmp_path / "sub" / "f.extxyz", frames)
    back = read_frames(tmp_path / "sub" / "f.extxyz")
    assert [f.id for f in back] == [f.id for f in frames]
    assert [f.origin for f in back] == [f.origin for f in frames]
    assert (back[20].charge, back[20].spin) == (-1, 2)
    assert os.listdir(tmp_path / "sub") == ["f.extxyz"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f.extxyz"
    write_frames(path, [molecule("H2O")])

    def breaks():
        yield molecule("NH3")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        write_frames(path, breaks())
    assert [f.formula for f in read_frames(path)] == ["H2O"]
    assert os.listdir(tmp_path) == ["f.extxyz"]


def test_labels_survive_a_round_trip(tmp_path):
    rng = np.random.default_rng(2)
    crystal = Frame.of([11, 17], [[0, 0, 0], [2.8, 0, 0]], np.eye(3) * 5.6, True)
    stress = rng.normal(size=(3, 3))
    labelled = [
        LabelledFrame(
            frame=frame,
            label=Label(
                frame_id=frame.id,
                level_key="pbe",
                energy=float(rng.normal() * 1000),
                forces=rng.normal(size=(len(frame), 3)).round(6),
                stress=stress + stress.T if frame is crystal else None,
            ),
        )
        for frame in [*shaken("H2O", 3), crystal]
    ]
    write_frames(tmp_path / "d.extxyz", labelled)
    back = read_dataset(tmp_path / "d.extxyz", "pbe")
    assert back.fingerprint == type(back).of(labelled).fingerprint
    for old, new in zip(labelled, back, strict=True):
        assert new.label.energy == old.label.energy
        np.testing.assert_allclose(new.label.forces, old.label.forces, atol=1e-8)
    assert back.labels[0].stress is None
    np.testing.assert_allclose(back.labels[3].stress, stress + stress.T, atol=1e-12)


def test_a_users_own_names_for_the_labels(tmp_path):
    atoms = ase_molecule("H2O")
    atoms.info["REF_energy"] = -12.5
    atoms.arrays["REF_forces"] = np.arange(9.0).reshape(3, 3)
    ase.io.write(tmp_path / "d.extxyz", atoms)
    with pytest.raises(ValueError, match=r"no energy and no forces; it has .*REF_energy"):
        read_dataset(tmp_path / "d.extxyz", "mp2")
    (item,) = read_dataset(tmp_path / "d.extxyz", "mp2", energy="REF_energy", forces="REF_forces")
    assert item.label.energy == -12.5
    np.testing.assert_array_equal(item.label.forces, np.arange(9.0).reshape(3, 3))


def test_a_label_that_is_not_finite_is_refused(tmp_path):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.full((2, 3), np.nan))
    ase.io.write(tmp_path / "d.traj", atoms)
    with pytest.raises(ValueError, match="structure 0: energy or forces are not finite"):
        read_dataset(tmp_path / "d.traj", "pbe")


@pytest.mark.parametrize("key", ["cell", "Box", "pbc", "Properties", "", "a b", "a=b", '"', "é", "x" * 150])
def test_whatever_a_key_of_the_user_is_called_the_file_can_be_read(key: str, tmp_path: Path):
    frame = Frame.of([18], [[0, 0, 0]], info={key: "1e5", "more": "\ud800 {[", "after": 2})
    write_frames(tmp_path / "one.extxyz", [frame])
    (back,) = read_frames(tmp_path / "one.extxyz")
    assert back == frame
    assert back.info == frame.info
