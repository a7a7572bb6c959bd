"""Charge and spin states of a set of frames. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable

from potential.data.frame import Frame


def refuse_mixed_charges(frames: Iterable[Frame]) -> None:
    """Raise ValueError where frames of one composition have two charges or spins.

    The model sees species and positions alone. A neutral molecule and its cation at the same positions
    are one input with two energies, some 10 eV apart; it would learn something between them. Charges
    that differ from one composition to another are fine: there the composition tells them.
    """
    first: dict[str, Frame] = {}
    for frame in frames:
        other = first.setdefault(frame.formula, frame)
        if (other.charge, other.spin) != (frame.charge, frame.spin):
            raise ValueError(
                f"{frame.formula} comes with charge {other.charge:+d}, spin {other.spin} (frame {other.id}) "
                f"and with charge {frame.charge:+d}, spin {frame.spin} (frame {frame.id}), and the model "
                "sees neither: train one potential for each state, or, if the mean of them is what you want, "
                "write `mixed_charges: true` in `training` (--mixed-charges for `alnico train`)"
            )
