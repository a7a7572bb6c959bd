"""What is written is read again: any frame, through extxyz and pickle."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from potential.data.dataset import Dataset, LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import read_dataset, read_frames, write_frames
from tests.support.frames import frames, labelled_frames


def assert_same(found: Frame, frame: Frame) -> None:
    assert found.id == frame.id
    np.testing.assert_array_equal(found.numbers, frame.numbers)
    np.testing.assert_array_equal(found.positions, frame.positions)
    np.testing.assert_array_equal(found.cell, frame.cell)
    assert (found.pbc, found.charge, found.spin, found.fixed) == (
        frame.pbc,
        frame.charge,
        frame.spin,
        frame.fixed,
    )
    assert found.origin == frame.origin


@given(st.lists(frames(), min_size=1, max_size=3))
def test_through_extxyz(written: list[Frame]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.extxyz"
        write_frames(file, written)
        for found, frame in zip(read_frames(file, check=False), written, strict=True):
            assert_same(found, frame)


@given(frames())
def test_through_pickle_and_copy(frame: Frame) -> None:
    for found in (pickle.loads(pickle.dumps(frame)), copy.deepcopy(frame)):  # noqa: S301 (our own bytes)
        assert_same(found, frame)
        assert not found.positions.flags.writeable


@given(frames(), st.integers(1, 200))
def test_a_nudge_below_the_grid_is_the_same_frame_and_one_above_is_not(frame: Frame, steps: int) -> None:
    nudged = frame.positions.copy()
    nudged[0, 0] += 0.2e-8
    assert frame.moved(nudged).id == frame.id
    nudged[0, 0] = frame.positions[0, 0] + steps * 1e-8
    assert frame.moved(nudged).id != frame.id


@given(labelled_frames())
def test_labels_through_extxyz(item: LabelledFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.extxyz"
        write_frames(file, [item])
        (found,) = read_dataset(file, item.label.level_key)
    assert_same(found.frame, item.frame)
    assert found.label.energy == item.label.energy
    np.testing.assert_allclose(found.label.forces, item.label.forces, rtol=0, atol=1e-8)
    assert (found.label.stress is None) == (item.label.stress is None)
    if item.label.stress is not None:
        np.testing.assert_allclose(found.label.stress, item.label.stress, rtol=0, atol=1e-12)


@given(st.lists(labelled_frames(), min_size=1, max_size=8, unique_by=lambda i: i.frame.id), st.integers(0, 5))
def test_a_split_loses_nothing_and_adding_twice_adds_once(items: list[LabelledFrame], seed: int) -> None:
    dataset = Dataset.of(items)
    learned, held_out = dataset.split(min(2, len(items) - 1), seed=seed)
    ids = [frame.id for frame in learned.frames] + [frame.id for frame in held_out.frames]
    assert sorted(ids) == sorted(item.frame.id for item in items)
    assert dataset.add(items).fingerprint == dataset.fingerprint
