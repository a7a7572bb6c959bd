"""Frames of all kinds, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame

MAX_ATOMS = 6
coordinates = st.floats(-1e3, 1e3)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9) | texts


@st.composite
def frames(draw: st.DrawFn, *, apart: bool = False) -> Frame:
    """Molecules, slabs and crystals of any element, charge and spin; most are no sensible chemistry.

    `apart` keeps the atoms from overlapping, which is refused where labels are read.
    """
    n = draw(st.integers(1, MAX_ATOMS))
    vectors = st.lists(st.floats(-0.5, 0.5) if apart else coordinates, min_size=3, max_size=3)
    positions = np.array(draw(st.lists(vectors, min_size=n, max_size=n)))
    positions[:, 0] += 5.0 * np.arange(n) if apart else 0.0
    pbc = draw(st.sampled_from([(False,) * 3, (True,) * 3, (True, True, False)]))
    cell: Any = None
    if any(pbc):
        cell = np.diag(
            draw(st.lists(st.floats(5.0 * MAX_ATOMS if apart else 2.0, 50), min_size=3, max_size=3))
        )
        cell = cell + np.tril(
            np.array(draw(st.lists(st.floats(-2, 2), min_size=9, max_size=9))).reshape(3, 3), -1
        )
    numbers = draw(st.lists(st.integers(1, 94), min_size=n, max_size=n))
    charge = draw(st.integers(-5, min(5, sum(numbers))))
    electrons = sum(numbers) - charge
    return Frame.of(
        numbers,
        positions,
        cell,
        pbc,
        charge=charge,
        spin=draw(st.sampled_from(range(electrons % 2, min(electrons, 6) + 1, 2))),
        fixed=draw(st.sets(st.integers(0, n - 1))),
        origin=draw(st.dictionaries(st.sampled_from(["round", "replica", "source", "note"]), scalars)),
    )


@st.composite
def labelled_frames(draw: st.DrawFn, level_key: str = "0123456789ab") -> LabelledFrame:
    frame = draw(frames(apart=True))
    vectors = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3)
    strained = st.lists(st.floats(-5, 5), min_size=6, max_size=6)
    label = Label(
        frame_id=frame.id,
        level_key=level_key,
        energy=draw(st.floats(-1e6, 1e6)),
        forces=np.array(draw(st.lists(vectors, min_size=len(frame), max_size=len(frame)))),
        stress=_symmetric(draw(strained)) if all(frame.pbc) and draw(st.booleans()) else None,
        provenance=draw(st.dictionaries(st.sampled_from(["seconds", "host", "rung"]), scalars, max_size=3)),
    )
    return LabelledFrame(frame=frame, label=label)


def _symmetric(six: list[float]) -> np.ndarray:
    xx, yy, zz, yz, xz, xy = six
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
