"""Charge and spin states of a set of frames. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


MULTIPLETS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet", "septet")


@dataclass(frozen=True, order=True)
class ChargeState:
    """What is computed: composition, charge (elementary charges), spin (unpaired electrons)."""

    formula: str
    charge: int
    spin: int

    @classmethod
    def of(cls, frame: Frame) -> ChargeState:
        return cls(frame.formula, frame.charge, frame.spin)

    def __str__(self) -> str:
        """`C2H3O2, charge -1, singlet`."""
        known = self.spin < len(MULTIPLETS)
        multiplet = MULTIPLETS[self.spin] if known else f"multiplicity {self.spin + 1}"
        return f"{self.formula}, charge {self.charge:+d}, {multiplet}".replace("+0", "0")


def charge_states(frames: Iterable[Frame]) -> Counter[ChargeState]:
    """How many frames there are of each, in the order in which they come."""
    return Counter(map(ChargeState.of, frames))


def in_words(states: Mapping[ChargeState, int], *, at_most: int = 4) -> str:
    """`C2H6O, charge 0, singlet (1 structure)`, and so on for the first few."""
    said = [f"{state} ({count} structure{'s' if count > 1 else ''})" for state, count in states.items()]
    more = [f"and {len(said) - at_most} more"] if len(said) > at_most else []
    return "; ".join([*said[:at_most], *more]) or "no structure"


def odd_electron(states: Iterable[ChargeState]) -> str | None:
    """What to ask where a neutral structure has an odd number of electrons; None where none has.

    A doublet is right for a radical, and wrong for an ion whose file does not say its charge.
    """
    odd = [state for state in states if state.charge == 0 and state.spin % 2]
    if not odd:
        return None
    names = ", ".join(dict.fromkeys(state.formula for state in odd))
    return (
        f"{names} is taken for a neutral radical: its number of electrons is odd. "
        "If it is an ion, say so: --charge -1 or --charge 1"
    )
