"""Any label of any frame comes back from the store as it went in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.dataset import LabelledFrame
from tests.support.frames import labelled_frames


@settings(max_examples=10)  # a database each
@given(st.lists(labelled_frames(), min_size=1, max_size=3, unique_by=lambda item: item.frame.id))
def test_through_the_store(items: list[LabelledFrame]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = LabelStore(Path(folder) / "labels.db")
        for item in items:
            assert store.add(item.frame, item.label)
        key = items[0].label.level_key
        found = store.dataset([item.frame for item in items], key)
        problems = verify(store).problems  # such as a net force: these numbers are nobody's
        assert not any("altered" in problem or "cannot be read" in problem for problem in problems)
    for got, item in zip(found, items, strict=True):
        assert got.frame.id == item.frame.id
        np.testing.assert_array_equal(got.frame.positions, item.frame.positions)
        np.testing.assert_array_equal(got.frame.cell, item.frame.cell)
        assert (got.frame.charge, got.frame.spin, got.frame.pbc) == (
            item.frame.charge,
            item.frame.spin,
            item.frame.pbc,
        )
        assert (got.frame.fixed, got.frame.origin) == (item.frame.fixed, item.frame.origin)
        assert got.label.energy == item.label.energy
        np.testing.assert_array_equal(got.label.forces, item.label.forces)
        if item.label.stress is not None:
            np.testing.assert_allclose(got.label.stress, item.label.stress, rtol=0, atol=1e-15)
        assert got.label.provenance == item.label.provenance
