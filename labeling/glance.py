"""Many rows of a label store looked at together: what is plainly sound needs no closer look at each.

The same numbers as `Frame.id` and `labeling.checks` make of one row, in a tenth of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from labeling.checks import CheckLimits
from labeling.rows import LABELLED, Row
from potential.data.frame import ids_of

PLAIN = 0.5
"""The share of a limit below which rounding in the sums does not matter."""


def frame_ids(rows: Sequence[Row]) -> dict[int, str]:
    """Of each row's number, the id of its frame; nothing where one of the rows is damaged."""
    try:
        if any(len(row.numbers) != len(row.positions) for row in rows):
            return {}
        ids = ids_of(
            [row.numbers for row in rows],
            [row.positions for row in rows],
            [row.cell for row in rows],
            [
                (
                    (row.pbc & 1 > 0, row.pbc & 2 > 0, row.pbc & 4 > 0),
                    row.columns["total_charge"],
                    row.columns["spin"],
                )
                for row in rows
            ],
        )
    except (TypeError, ValueError, KeyError):
        return {}
    return {row.id: found for row, found in zip(rows, ids, strict=True)}


def plainly_sound(rows: Sequence[Row], limits: CheckLimits) -> set[int]:
    """Numbers of the labels that are finite, with forces and torque well within their limits.

    What the provenance says of the electrons is not looked at.
    """
    rows = [row for row in rows if _is_whole(row)]
    if not rows:
        return set()
    forces, positions = (
        np.concatenate([getattr(row, name) for row in rows]) for name in ("forces", "positions")
    )
    counts = np.array([len(row.numbers) for row in rows])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    net = np.add.reduceat(forces, starts)
    centres = np.add.reduceat(positions, starts) / counts[:, None]
    torque = np.add.reduceat(np.cross(positions, forces), starts) - np.cross(centres, net)
    torque[[row.pbc > 0 for row in rows]] = 0.0
    largest = np.maximum.reduceat(np.linalg.norm(forces, axis=1), starts)
    sound = (  # a NaN is below nothing
        (np.linalg.norm(net, axis=1) < PLAIN * limits.net_force_eV_per_angstrom)
        & (np.linalg.norm(torque, axis=1) < PLAIN * limits.net_torque_eV)
        & (largest < PLAIN * limits.max_force_eV_per_angstrom)
    )
    return {row.id for row, is_sound in zip(rows, sound.tolist(), strict=True) if is_sound}


def _is_whole(row: Row) -> bool:
    """Whether it is a label with a number for everything, and nothing that only a frame can read."""
    return (
        row.columns.get("status") == LABELLED
        and not row.constraints
        and isinstance(row.energy, float)
        and math.isfinite(row.energy)
        and row.forces is not None
        and 0 < len(row.numbers) == len(row.positions) == len(row.forces)
        and (row.stress is None or bool(np.isfinite(row.stress).all()))
    )
