"""The SCF ladder, on systems each of which needs its rung."""

import pytest

from labeling.attempt import attempt
from labeling.failure import LabelFailure
from labeling.level import PySCFLevel
from labeling.scf import converge, gap_hartree
from potential.frame import Frame
from potential.units import HARTREE_EV

COARSE = PySCFLevel(grid_level=1, max_scf_cycles=50)


def diatomic(numbers: tuple[int, int], distance_A: float, *, spin: int = 0) -> Frame:
    return Frame.of(numbers, [[0, 0, 0], [0, 0, distance_A]], spin=spin)


IRON = Frame.of([26], [[0, 0, 0]], spin=4)
COH = diatomic((27, 1), 1.52, spin=2)
STRETCHED_RADICAL = diatomic((6, 9), 2.5, spin=1)


@pytest.mark.physics
@pytest.mark.parametrize(
    ("frame", "rung", "gap_eV"),
    [
        (diatomic((8, 1), 0.97, spin=1), "diis", 0.84),
        (IRON, "level_shift", 0.18),
        (diatomic((6, 8), 2.8), "second_order", 0.34),
        (STRETCHED_RADICAL, "second_order", 0.17),
        pytest.param(COH, "second_order", 0.40, marks=pytest.mark.slow),
        (diatomic((1, 1), 6.0), "smeared", 0.004),
    ],
    ids=["OH radical", "iron atom", "stretched CO", "stretched CF radical", "CoH", "dissociated H2"],
)
def test_each_rung_is_needed_and_recorded(frame: Frame, rung: str, gap_eV: float) -> None:
    scf, reached, cycles = converge(frame, COARSE)
    assert reached == rung
    assert list(cycles)[-1] == rung
    assert all(0 < n <= 51 for n in cycles.values())
    assert gap_hartree(scf) * HARTREE_EV == pytest.approx(gap_eV, abs=0.02)


@pytest.mark.physics
def test_a_later_rung_finds_the_solution_that_more_cycles_find() -> None:
    frame = Frame.of([8, 1, 1], [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]], charge=1, spin=1)
    scf, rung, cycles = converge(frame, COARSE.model_copy(update={"max_scf_cycles": 5}))
    assert rung != "diis"
    assert cycles["diis"] == 5
    easy, first_rung, _ = converge(frame, COARSE)
    assert first_rung == "diis"
    assert scf.e_tot == pytest.approx(easy.e_tot, abs=1e-6)


def test_newton_steps_into_an_excited_state_are_no_label() -> None:
    """Singlet O2 at the RKS level: on every rung an occupied orbital lies above an empty one."""
    failure = attempt(diatomic((8, 8), 1.2), COARSE)
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "rejected_by_check"
    assert "gap_eV -1.06 is not positive" in failure.message
    assert failure.label is not None


@pytest.mark.physics
@pytest.mark.parametrize("spin", [4, pytest.param(2, marks=pytest.mark.slow)])
def test_following_instabilities_leads_to_a_lower_state(spin: int) -> None:
    """CoH: the first solution is a saddle point, 0.09 eV (quintet) and 0.22 eV (triplet) too high."""
    frame = diatomic((27, 1), 1.52, spin=spin)
    upper, rung, _ = converge(frame, COARSE)
    lower, stable_rung, cycles = converge(frame, COARSE.model_copy(update={"stability": True}))
    assert stable_rung == f"{rung}+instability"
    assert cycles["instability"] > 0
    assert upper.e_tot - lower.e_tot > 0.08 / HARTREE_EV
    assert lower.stability(return_status=True)[2]
    assert not upper.stability(return_status=True)[2]


@pytest.mark.physics
def test_a_second_guess_of_a_closed_shell_ends_in_the_same_state() -> None:
    frame = diatomic((6, 8), 1.13)
    first, second = (converge(frame, COARSE, second_guess=flag)[0].e_tot for flag in (False, True))
    assert second == pytest.approx(first, abs=1e-7)
