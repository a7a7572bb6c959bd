"""What every labeler must keep. A new one adds a `Case` to `labeler_cases.py`, and that is its test."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from labeling.attempt import Conditions, attempt, compute
from labeling.failure import LabelFailure
from labeling.task import close_workers, label
from labeling.workers import LabelingConfig
from potential.data.dataset import Label
from potential.data.frame import Frame
from tests.support.labeler_cases import CASES, LEVELS, Case

STEP = 2e-3  # Angstrom, over all atoms together


every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def energy(case: Case, frame: Frame) -> float:
    return compute(frame, case.read(), Conditions()).energy


@pytest.mark.physics
@every
def test_forces_are_the_derivative_of_the_energy(case: Case) -> None:
    """Along one random direction of all atoms: sum_i F_i . d_i = -(E(s) - E(-s)) / 2s."""
    frame = case.frame
    direction = np.random.default_rng(1).normal(size=frame.positions.shape)
    direction /= np.linalg.norm(direction)
    ahead, behind = (energy(case, frame.moved(frame.positions + s * direction)) for s in (STEP, -STEP))
    found = compute(frame, case.read(), Conditions())
    assert np.abs(found.forces).max() > 0.01
    assert (found.forces * direction).sum() == pytest.approx(
        (behind - ahead) / (2 * STEP), abs=case.tolerance
    )


@pytest.mark.physics
@every
def test_stress_is_the_derivative_of_the_energy_where_it_is_promised(case: Case) -> None:
    """Along one random strain: V sigma : e = (E(s e) - E(-s e)) / 2s."""
    frame = case.frame
    found = compute(frame, case.read(), Conditions())
    assert (found.stress is not None) == (case.read().can.stress and all(frame.pbc))
    if found.stress is None:
        return
    strain = np.random.default_rng(2).normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T)
    step = 5e-4

    def strained(s: float) -> Frame:
        by = np.eye(3) + s * strain
        return frame.moved(frame.positions @ by, cell=frame.cell @ by)

    volume = abs(np.linalg.det(frame.cell))
    slope = (energy(case, strained(step)) - energy(case, strained(-step))) / (2 * step)
    assert (found.stress * strain).sum() == pytest.approx(slope / volume, abs=case.tolerance / 10)


@every
def test_a_label_is_sound_whole_and_the_same_each_time(case: Case) -> None:
    level = case.read()
    first, second = attempt(case.frame, level), attempt(case.frame, level)
    assert isinstance(first, Label), first
    assert isinstance(second, Label)
    assert (first.frame_id, first.level_key) == (case.frame.id, level.key)
    assert first.energy == second.energy
    assert np.array_equal(first.forces, second.forces)
    assert {"level", "seconds", "host", "versions", "checks"} <= first.provenance.keys()
    assert all(first.provenance["versions"].values())
    assert LEVELS.validate_python(first.provenance["level"]).key == level.key


@every
def test_what_is_held_fixed_feels_its_force_nevertheless(case: Case) -> None:
    held = compute(dataclasses.replace(case.frame, fixed=(0,)), case.read(), Conditions())
    free = compute(case.frame, case.read(), Conditions())
    assert np.array_equal(held.forces, free.forces)


@every
def test_the_key_is_another_exactly_where_the_numbers_are(case: Case) -> None:
    level = case.read()
    first = energy(case, case.frame)
    assert len(level.key) == 12
    for settings in case.same:
        same = case.read(**settings)
        assert same.key == level.key
        assert compute(case.frame, same, Conditions()).energy == pytest.approx(first, abs=1e-8)
    keys = {level.key}
    for settings in case.others:
        other = case.read(**settings)
        keys.add(other.key)
        assert abs(compute(case.frame, other, Conditions()).energy - first) > 1e-6
    assert len(keys) == 1 + len(case.others)


@every
def test_what_it_cannot_label_is_refused_by_check(case: Case) -> None:
    level = case.read()
    with pytest.raises(ValueError, match=r"\w"):
        level.check(case.refused)
    outcome = attempt(case.refused, level)
    assert isinstance(outcome, LabelFailure)
    assert outcome.kind == "invalid_frame"
    level.check(case.frame)


@every
def test_charge_and_spin_count_where_it_says_so(case: Case) -> None:
    level = case.read()
    assert level.can.charge == (case.charged is not None)
    assert level.can.spin == (case.triplet is not None)
    neutral = energy(case, dataclasses.replace(case.charged or case.triplet or case.frame, charge=0, spin=0))
    for other in filter(None, (case.charged, case.triplet)):
        assert abs(energy(case, other) - neutral) > 0.1


@every
def test_another_guess_leads_to_the_same_state(case: Case) -> None:
    """Of a closed shell near its minimum; a level without other guesses computes the same again."""
    standard = compute(case.frame, case.read(), Conditions())
    second = compute(case.frame, case.read(), Conditions(guess="second"))
    assert second.energy == pytest.approx(standard.energy, abs=1e-5)
    ways = [(it.energy, it.forces.tobytes(), it.provenance.get("gap_eV")) for it in (standard, second)]
    assert case.read().can.second_guess == (ways[0] != ways[1])  # in the last digits


@every
def test_a_level_is_a_value(case: Case) -> None:
    level = case.read()
    for copy in (pickle.loads(pickle.dumps(level)), LEVELS.validate_json(level.model_dump_json())):  # noqa: S301
        assert copy == level
        assert hash(copy) == hash(level)
        assert (copy.key, copy.name, copy.can) == (level.key, level.name, level.can)
    with pytest.raises(ValidationError, match="frozen"):
        level.labeler = "another"
    with pytest.raises(ValidationError, match="Extra inputs"):
        case.read(no_such_setting=1)


KILLS_ITSELF_ONCE = """
import os, signal, sys
if "labeling.child" in sys.orig_argv:
    from labeling import attempt
    compute = attempt.compute
    def deadly(*arguments):
        if not os.path.exists(os.environ["KILLED"]):
            open(os.environ["KILLED"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(*arguments)
    attempt.compute = deadly
"""


@every
def test_a_killed_child_costs_one_attempt(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(KILLS_ITSELF_ONCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KILLED", str(tmp_path / "killed"))
    outcome = label(case.frame, case.read(), LabelingConfig(workers=1, attempts=2, backoff_s=0.0))
    close_workers()
    assert isinstance(outcome, Label), outcome
    assert outcome.provenance["attempts"] == 2
    assert outcome.energy == pytest.approx(energy(case, case.frame), abs=1e-7)


COUNTS_THREADS = """
import os, pickle, sys
from labeling.attempt import Conditions, compute
frame, level = pickle.load(sys.stdin.buffer)
compute(frame, level, Conditions())
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
@every
def test_it_computes_with_threads_where_it_says_so(case: Case) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COUNTS_THREADS],
        input=pickle.dumps((case.frame, case.read())),
        env=environment,
        capture_output=True,
        check=True,
    )
    assert (int(done.stdout) > 1) == case.read().can.threads
