"""What a level of theory can do, as data: its labeler keeps these promises, and a contract test asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What the labels of a level of theory hold, and what they depend on.

    Attributes:
        stress: labels of frames periodic in three directions have one.
        spin: the numbers depend on `Frame.spin`.
        charge: the numbers depend on `Frame.charge`.
        threads: it computes with as many threads as OpenMP gives it; else with one.
        second_guess: it can start elsewhere, to see whether it ends in the same state.
    """

    stress: bool
    spin: bool
    charge: bool
    threads: bool
    second_guess: bool
