"""Identity and immutability of frames and labels."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame, ids_of
from potential.data.structure_files import read_frames, write_frames

FRAME = Frame.of(
    [8, 1, 1],
    [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]],
    np.diag([9.0, 8.0, 7.0]),
    [True, True, True],
    charge=1,
    spin=1,
    fixed=[2, 0],
    info={"my_id": "cfg-1", "weights": [1, 2.5]},
)


def test_many_ids_at_once_are_those_of_each():
    rng = np.random.default_rng(0)
    frames = [
        Frame.of(
            rng.integers(1, 9, n),
            rng.normal(0, 500, (n, 3)),
            10 * np.eye(3) if n % 2 else None,
            (True, n % 3 == 0, False),
            charge=n - 3,
            spin=n % 2,
        )
        for n in (1, 5, 2, 12)
    ]
    states = [(frame.pbc, frame.charge, frame.spin) for frame in frames]
    off_grid = [frame.positions + 2e-9 for frame in frames]
    many = ids_of([f.numbers.astype(np.int32) for f in frames], off_grid, [f.cell for f in frames], states)
    assert many == [frame.id for frame in frames]


def test_ids_of_existing_frames_are_what_they_were():
    assert FRAME.id == "b9fec756b40ffc62"
    assert Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.74]]).id == "3b4609f74254fe97"


def test_what_does_not_change_the_energy_is_not_in_the_id():
    bare = Frame.of(FRAME.numbers, FRAME.positions, FRAME.cell, True, charge=1, spin=1)
    assert bare == FRAME
    assert bare.id == FRAME.id
    assert dataclasses.replace(bare, charge=0, spin=0).id != bare.id


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301
        lambda value: pickle.loads(pickle.dumps(value, protocol=2)),  # noqa: S301
        dataclasses.replace,
    ],
)
def test_arrays_stay_read_only(again):
    label = Label(
        frame_id=FRAME.id, level_key="x", energy=0.0, forces=np.zeros((3, 3)), stress=np.zeros((3, 3))
    )
    frame, label = again(FRAME), again(label)
    for array in (frame.numbers, frame.positions, frame.cell, label.forces, label.stress):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    assert frame.id == FRAME.id
    assert (frame.fixed, frame.info, frame.charge, frame.spin) == ((0, 2), FRAME.info, 1, 1)


def test_the_callers_arrays_stay_writable():
    positions, forces = np.zeros((1, 3)), np.zeros((1, 3))
    frame = Frame(
        numbers=np.array([2]), positions=positions, cell=np.zeros((3, 3)), pbc=(False, False, False)
    )
    label = Label(frame_id=frame.id, level_key="x", energy=0.0, forces=forces)
    positions[0, 0] = forces[0, 0] = 1.0
    assert frame.positions[0, 0] == label.forces[0, 0] == 0.0


def test_fixed_atoms_and_info_go_through_atoms_files_and_moves(tmp_path):
    atoms = FRAME.to_atoms()
    assert atoms.constraints[0].index.tolist() == [0, 2]
    assert atoms.info["my_id"] == "cfg-1"
    write_frames(tmp_path / "f.extxyz", [FRAME])
    (back,) = read_frames(tmp_path / "f.extxyz")
    assert (back.id, back.fixed, back.info) == (FRAME.id, FRAME.fixed, FRAME.info)
    moved = FRAME.moved(FRAME.positions + 0.1)
    assert (moved.fixed, moved.info) == (FRAME.fixed, {})
    with pytest.raises(ValueError, match=r"fixed atoms \[3\] of 3"):
        Frame.of([8, 1, 1], FRAME.positions, fixed=[3])


@pytest.mark.parametrize(
    "value",
    [
        *("cfg-1", "007", "1e5", "T", "true", "", "a b", 'say "hi"', "back\\slash", "it's", "=", "[1]", "é"),
        *("a\nb", 1, 1.5, True, False, None, [1, 2, 3], [1.5, 2], ["a", "b"], {"k": [1, {"x": None}]}),
        [[1, 2], [3, 4]],
    ],
)
def test_info_survives_extxyz_whatever_it_is(tmp_path, value):
    frame = dataclasses.replace(FRAME, info={"key": value, "my key": value, "energy": 3})
    write_frames(tmp_path / "f.extxyz", [frame, FRAME])
    back, _ = read_frames(tmp_path / "f.extxyz")
    expected = {"key": value, "my key": value}
    assert back.info == expected
    assert [type(v) for v in back.info.values()] == [type(v) for v in expected.values()]


def labelled(frame: Frame, energy: float, forces: float = 0.0, level: str = "x") -> LabelledFrame:
    values = np.full((len(frame), 3), forces)
    return LabelledFrame(
        frame=frame, label=Label(frame_id=frame.id, level_key=level, energy=energy, forces=values)
    )


def test_two_labels_of_one_frame_must_agree():
    other = FRAME.moved(FRAME.positions + 0.2)
    same = Dataset.of([labelled(FRAME, -1.0), labelled(other, -2.0), labelled(FRAME, -1.0 + 1e-6)])
    assert [item.label.energy for item in same] == [-1.0, -2.0]
    with pytest.raises(ValueError, match=r"two labels of one frame differ.*-1\.000000 and -7\.000000 eV"):
        Dataset.of([labelled(FRAME, -1.0), labelled(FRAME, -7.0)])
    with pytest.raises(ValueError, match=r"forces differ by up to 0\.1"):
        same.add([labelled(FRAME, -1.0, forces=0.1)])
    with pytest.raises(ValueError, match=r"one level of theory, got \['x', 'y'\]"):
        same.add([labelled(FRAME, -1.0, level="y")])
