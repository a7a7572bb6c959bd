import dataclasses
from typing import Any

import numpy as np
import pytest

from labeling.checks import CheckLimits, checked, in_one_state
from labeling.failure import RejectedByCheckError
from potential.data.dataset import Label
from potential.data.frame import Frame

FRAME = Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.8]], charge=1, spin=1)
FORCES = np.array([[0, 0, 1.5], [0, 0, -1.5]])
SOUND = Label(
    frame_id=FRAME.id,
    level_key="0" * 12,
    energy=-31.0,
    forces=FORCES,
    provenance={"gap_eV": 10.0, "spin_square": 0.7501, "host": "here"},
)


def test_a_sound_label_keeps_its_numbers_and_gains_the_checks() -> None:
    label = checked(FRAME, SOUND)
    assert label.provenance["host"] == "here"
    checks = label.provenance["checks"]
    assert checks["max_force_eV_per_angstrom"] == 1.5
    assert checks["net_force_eV_per_angstrom"] == 0
    assert checks["spin_contamination"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": np.nan}, "not finite"),
        ({"forces": np.array([[0, 0, np.inf], [0, 0, 0]])}, "not finite"),
        ({"stress": np.full((3, 3), np.nan)}, "not finite"),
        ({"forces": np.zeros((3, 3))}, "for 2 atoms"),
        ({"forces": FORCES + 0.01}, "net_force_eV_per_angstrom 0.0346 is above 0.005"),
        ({"forces": np.array([[0.5, 0, 0], [-0.5, 0, 0]])}, "net_torque_eV 0.4 is above 0.3"),
        ({"forces": FORCES * 100}, "max_force_eV_per_angstrom 150 is above 100"),
        ({"provenance": {"gap_eV": -0.1}}, "gap_eV -0.1 is not positive"),
        ({"provenance": {"spin_square": 1.6}}, "spin_contamination 0.85"),
    ],
)
def test_an_unsound_label_is_rejected_with_its_numbers(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedByCheckError, match=message):
        checked(FRAME, dataclasses.replace(SOUND, **change))


def test_a_rejected_label_comes_with_its_numbers() -> None:
    with pytest.raises(RejectedByCheckError) as rejection:
        checked(FRAME, dataclasses.replace(SOUND, forces=FORCES * 100))
    label = rejection.value.label
    assert label is not None
    assert label.energy == SOUND.energy
    assert label.provenance["checks"]["max_force_eV_per_angstrom"] == 150


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_force_eV_per_angstrom": 1.4}, "max_force_eV_per_angstrom 1.5 is above 1.4"),
        ({"min_gap_eV": 11}, "gap_eV 10 is below 11"),
        ({"spin_contamination": 1e-5}, "spin_contamination 0.0001 is above 1e-05"),
    ],
)
def test_limits_are_settings(limits: dict[str, float], message: str) -> None:
    checked(FRAME, SOUND)
    with pytest.raises(RejectedByCheckError, match=message):
        checked(FRAME, SOUND, CheckLimits(**limits))


def test_two_guesses_must_meet_in_one_state_and_the_lower_one_is_kept() -> None:
    limits = CheckLimits()
    near = dataclasses.replace(SOUND, energy=SOUND.energy - 5e-4)
    assert in_one_state(SOUND, near, limits).provenance["checks"]["second_guess_eV"] == pytest.approx(-5e-4)
    lower = dataclasses.replace(SOUND, energy=SOUND.energy - 1.2)
    for label, second in [(SOUND, lower), (lower, SOUND)]:
        with pytest.raises(RejectedByCheckError, match=r"state flip.* [+-]1\.2000 eV") as rejection:
            in_one_state(label, second, limits)
        assert rejection.value.label is lower
