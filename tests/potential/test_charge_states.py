"""What is computed, in words; and the question that an odd electron raises."""

import pytest

from potential.data.charge_states import ChargeState, charge_states, in_words, odd_electron
from potential.data.frame import Frame


def atom(number: int, charge: int = 0, spin: int = 0, x: float = 0.0) -> Frame:
    return Frame.of([number], [[x, 0, 0]], charge=charge, spin=spin)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (atom(8, spin=2), "O, charge 0, triplet"),
        (atom(11, charge=1), "Na, charge +1, singlet"),
        (atom(17, charge=-1), "Cl, charge -1, singlet"),
        (atom(64, spin=8), "Gd, charge 0, multiplicity 9"),
    ],
)
def test_a_state_in_words(frame: Frame, said: str):
    assert str(ChargeState.of(frame)) == said


def test_states_are_counted():
    frames = [atom(2), atom(2, x=1.0), atom(1, spin=1), *(atom(z) for z in (10, 18, 36, 54))]
    said = in_words(charge_states(frames))
    assert said.startswith("He, charge 0, singlet (2 structures); H, charge 0, doublet (1 structure); Ne")
    assert said.endswith("; and 2 more")


def test_an_odd_electron_raises_a_question_unless_a_charge_explains_it():
    assert odd_electron(charge_states([atom(2), atom(11, charge=1)])) is None
    assert odd_electron(charge_states([atom(8, charge=1, spin=1)])) is None
    question = odd_electron(charge_states([atom(1, spin=1)]))
    assert question is not None
    assert "H is taken for a neutral radical" in question
    assert "--charge -1" in question
