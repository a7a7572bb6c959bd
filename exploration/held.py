"""Atoms that may not move, where all atoms move."""

from __future__ import annotations

from collections.abc import Sequence

from potential.data.frame import Frame


def refuse_fixed_atoms(frames: Sequence[Frame]) -> None:
    """A constraint that is dropped without a word would give other physics.

    Raises:
        ValueError: for a frame with fixed atoms.
    """
    if held := next((frame for frame in frames if frame.fixed), None):
        raise ValueError(
            f"atoms {list(held.fixed)[:10]} of {held.formula} are fixed (FixAtoms, selective dynamics), and "
            "exploration moves all atoms; remove the constraint: forces on all atoms make the better "
            "potential, and `alnico md` keeps atoms fixed afterwards"
        )
