"""The SCF ladder, on systems each of which needs its rung."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pyscf import lib
from threadpoolctl import threadpool_limits

from labeling import scf as scf_module
from labeling.attempt import attempt
from labeling.failure import LabelFailure
from labeling.level import PySCFLevel
from labeling.scf import RUNGS, _anew, converge, gap_hartree, mean_field, run_counting_cycles
from potential.data.frame import Frame
from potential.data.units import HARTREE_EV

COARSE = PySCFLevel(grid_level=1, max_scf_cycles=50)


def diatomic(numbers: tuple[int, int], distance_A: float, *, spin: int = 0) -> Frame:
    return Frame.of(numbers, [[0, 0, 0], [0, 0, distance_A]], spin=spin)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the label workers: near a degeneracy the last bits decide which rung converges."""
    with lib.with_omp_threads(1), threadpool_limits(1):
        yield


IRON = Frame.of([26], [[0, 0, 0]], spin=4)


@pytest.mark.physics
@pytest.mark.parametrize(
    ("frame", "rungs", "gap_eV", "max_scf_cycles"),
    [
        (diatomic((8, 1), 0.97, spin=1), ["diis"], (0.82, 0.86), 50),
        (diatomic((6, 8), 2.8), ["second_order"], (0.32, 0.36), 50),
        # Near a degeneracy the last bits, and so the processor, decide which rung converges, and where to.
        (IRON, ["level_shift", "second_order"], (0.05, 0.3), 100),
        (diatomic((7, 8), 2.5, spin=1), ["diis", "level_shift", "second_order"], (0.05, 1.2), 50),
        # DIIS takes 49 cycles on one processor and more than 50 on another.
        (diatomic((28, 9), 1.75, spin=1), ["second_order", "smeared"], (0.05, 0.3), 25),
        (diatomic((6, 8), 3.1), ["second_order", "smeared"], (0.05, 0.3), 50),
    ],
    ids=["OH radical", "stretched CO", "iron atom", "stretched NO", "NiF", "CO stretched further"],
)
def test_each_rung_is_needed_and_recorded(
    frame: Frame, rungs: list[str], gap_eV: tuple[float, float], max_scf_cycles: int
) -> None:
    scf, reached, cycles = converge(frame, COARSE.model_copy(update={"max_scf_cycles": max_scf_cycles}))
    assert scf.converged
    assert reached in rungs
    assert list(cycles) == list(RUNGS[: RUNGS.index(reached) + 1])
    assert all(0 < n <= max_scf_cycles + 1 for n in cycles.values())
    assert gap_eV[0] < gap_hartree(scf) * HARTREE_EV < gap_eV[1]


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
@pytest.mark.parametrize(
    ("spin", "below_eV"), [(4, 0.0904), pytest.param(2, 0.00145, marks=pytest.mark.slow)]
)
def test_following_instabilities_leads_to_a_lower_state(spin: int, below_eV: float) -> None:
    """CoH: the first solution of the quintet and of the triplet is a saddle point."""
    frame = diatomic((27, 1), 1.52, spin=spin)
    upper, rung, _ = converge(frame, COARSE)
    lower, stable_rung, cycles = converge(frame, COARSE.model_copy(update={"stability": True}))
    assert stable_rung == f"{rung}+instability"
    assert cycles["instability"] > 0
    assert (upper.e_tot - lower.e_tot) * HARTREE_EV == pytest.approx(below_eV, rel=0.05)
    assert lower.stability(return_status=True)[2]
    assert not upper.stability(return_status=True)[2]


@pytest.mark.physics
def test_a_second_guess_of_a_closed_shell_ends_in_the_same_state() -> None:
    frame = diatomic((6, 8), 1.13)
    first, second = (converge(frame, COARSE, second_guess=flag)[0].e_tot for flag in (False, True))
    assert second == pytest.approx(first, abs=1e-7)


def test_integrals_and_grid_are_made_once_for_scf_restart_and_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CO at 2.8 Å climbs three rungs; then it is set up anew, as after an instability."""
    from pyscf.df import df
    from pyscf.dft import gen_grid
    from pyscf.scf import jk

    made: Counter[str] = Counter()

    def counted(what: str, original: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            made[what] += 1
            return original(*args, **options)

        return call

    monkeypatch.setattr(df.DF, "build", counted("integrals", df.DF.build))
    monkeypatch.setattr(jk, "get_jk", counted("integrals in a cycle", jk.get_jk))
    monkeypatch.setattr(gen_grid.Grids, "build", counted("grid", gen_grid.Grids.build))
    frame = diatomic((6, 8), 2.8)
    scf, rung, _ = converge(frame, COARSE)
    assert rung == "second_order"
    again = _anew(scf, frame, COARSE)
    again.kernel(scf.make_rdm1())
    gradient = again.nuc_grad_method()
    gradient.grid_response = True
    gradient.kernel()
    assert made == {"integrals": 1, "grid": 1}


@pytest.mark.physics
def test_kept_integrals_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = diatomic((6, 8), 1.13)
    kept = converge(frame, COARSE)[0]
    assert kept.with_df._cderi is not None
    monkeypatch.setattr(scf_module, "SHARE_OF_MEMORY", 0.0)
    direct = converge(frame, COARSE)[0]
    assert direct.with_df._cderi is None
    assert kept.e_tot == pytest.approx(direct.e_tot, abs=1e-9)


def test_a_density_from_the_coarse_grid_saves_cycles_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    level = PySCFLevel(grid_level=3)
    frame = Frame.of([8, 1, 1], [[0, 0, 0.12], [0, 0.8, -0.48], [0, -0.76, -0.5]])
    direct = mean_field(frame, level)
    cycles_directly = run_counting_cycles(direct, None)
    scf, rung, cycles = converge(frame, level)
    assert (rung, list(cycles)) == ("diis", ["coarse", "diis"])
    assert cycles["diis"] <= cycles_directly // 2
    assert scf.e_tot == pytest.approx(direct.e_tot, abs=1e-8)
    assert scf.grids.level == 3

    monkeypatch.setattr(scf_module, "COARSE_MAX_CYCLES", 2)
    scf, rung, cycles = converge(frame, level)
    assert cycles["coarse"] == 2
    assert cycles["diis"] >= cycles_directly - 1, "an unconverged density is no guess"
    assert scf.e_tot == pytest.approx(direct.e_tot, abs=1e-8)
