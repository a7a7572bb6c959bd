"""Clusters of argon and their level, for tests of the label store."""

from __future__ import annotations

import numpy as np

from labeling.level import LennardJonesLevel
from potential.data.frame import Frame

LEVEL = LennardJonesLevel()


def cluster(seed: int, **origin: int | str | float) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return Frame.of(
        [18] * 4, positions + np.random.default_rng(seed).normal(0, 0.1, (4, 3)), origin=dict(origin)
    )
