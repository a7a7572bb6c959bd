import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel, PySCFLevel
from labeling.process import WorkerProcess
from labeling.workers import LabelingConfig, LabelingStoppedError, LabelWorkers, available_cores
from potential.data.dataset import Label
from potential.data.frame import Frame

LJ = LennardJonesLevel()
DFT = PySCFLevel(grid_level=1)
SLOW = PySCFLevel(basis="def2-QZVP", density_fit=False)  # minutes for benzene, all of it in compiled code
BENZENE = Frame.from_atoms(molecule("C6H6"))
WATER = Frame.from_atoms(molecule("H2O"))

needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")


def argon(seed: int = 0) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Frame.of([18] * 3, positions + np.random.default_rng(seed).normal(0, 0.1, (3, 3)))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}


def test_a_label_is_the_same_as_without_workers() -> None:
    with LabelWorkers(LabelingConfig(workers=2)) as workers, ThreadPoolExecutor(4) as threads:
        frames = [argon(seed) for seed in range(8)]
        labels = list(threads.map(lambda frame: workers.label(frame, LJ), frames))
        assert len(workers.pids) <= 2
    for frame, label in zip(frames, labels, strict=True):
        assert isinstance(label, Label)
        assert label.frame_id == frame.id
        assert label.energy == compute(frame, LJ).energy
        assert "checks" in label.provenance


@needs_proc
def test_workers_are_single_threaded_and_free_of_torch() -> None:
    """Whatever the main module of the caller imports: here it is pytest, with torch beside it."""
    import torch  # noqa: F401

    before = os.environ.get("OMP_NUM_THREADS")
    with LabelWorkers(LabelingConfig(workers=1)) as workers:
        label = workers.label(WATER, DFT)
        assert isinstance(label, Label)
        (pid,) = workers.pids
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "libcgto" in maps  # PySCF is there
        assert "libtorch" not in maps
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"OMP_NUM_THREADS=1" in environment
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 2  # the label and the watch on the parent
    assert os.environ.get("OMP_NUM_THREADS") == before


@needs_proc
def test_a_worker_interrupted_while_it_starts_does_not_live_on(monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[int]()

    def interrupted(connection: Connection, timeout: float) -> bool:
        started.extend(children())
        raise KeyboardInterrupt

    before = children()
    monkeypatch.setattr(Connection, "poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WorkerProcess(memory_GB=1.0)
    assert set(started) - before
    assert not children() - before


@pytest.mark.whole
def test_a_timeout_kills_compiled_code_and_is_tried_once_more() -> None:
    with LabelWorkers(LabelingConfig(workers=1, timeout_s=2, attempts=5)) as workers:
        started = time.monotonic()
        failure = workers.label(BENZENE, SLOW)
        assert isinstance(failure, LabelFailure)
        assert failure.kind == "timeout"
        assert failure.attempts == 2
        assert 4 <= failure.seconds <= time.monotonic() - started < 120
        assert "timeout_s" in failure.advice
        assert isinstance(workers.label(argon(), LJ), Label)


def test_a_killed_worker_costs_one_attempt_of_one_label() -> None:
    with LabelWorkers(LabelingConfig(workers=2, attempts=2)) as workers, ThreadPoolExecutor(1) as threads:
        future = threads.submit(workers.label, WATER, DFT)
        wait_until(lambda: bool(workers.pids))
        (first,) = workers.pids
        os.kill(first, signal.SIGKILL)
        assert isinstance(workers.label(argon(), LJ), Label)
        label = future.result()
        assert isinstance(label, Label)
        assert first not in workers.pids
    assert label.provenance["attempts"] == 2
    lost = label.provenance["failed_attempts_seconds"]
    assert lost > 0
    assert label.provenance["seconds"] == pytest.approx(
        lost + sum(label.provenance[f"{stage}_seconds"] for stage in ("scf", "gradient", "stability"))
    )


@pytest.mark.slow
def test_the_wait_before_another_attempt_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LabelingConfig(workers=1, attempts=3, backoff_s=1.2)
    waits, starts, killed = list[float](), list[float](), set[int]()
    with LabelWorkers(config) as workers, ThreadPoolExecutor(1) as threads:
        wait = workers._closed.wait
        monkeypatch.setattr(workers._closed, "wait", lambda seconds: (waits.append(seconds), wait(seconds)))  # type: ignore[func-returns-value]
        future = threads.submit(workers.label, BENZENE, SLOW)
        for _ in range(config.attempts):
            wait_until(lambda: bool(set(workers.pids) - killed))
            starts.append(time.monotonic())
            (pid,) = set(workers.pids) - killed
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        failure = future.result()
    assert isinstance(failure, LabelFailure)
    assert (failure.kind, failure.attempts) == ("crashed", 3)
    assert waits == [1.2, 2.4]
    assert all(gap >= wait for gap, wait in zip(np.diff(starts), waits, strict=True))


def test_closing_ends_the_wait_before_another_attempt() -> None:
    workers = LabelWorkers(LabelingConfig(workers=1, attempts=2, backoff_s=600))
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(workers.label, BENZENE, SLOW)
        wait_until(lambda: bool(workers.pids))
        os.kill(workers.pids[0], signal.SIGKILL)
        wait_until(lambda: not workers.pids)  # from here on it waits
        assert not future.done()
        workers.close()
        assert isinstance(future.exception(timeout=10), LabelingStoppedError)


def test_a_label_that_crashes_every_time_is_a_failure() -> None:
    with LabelWorkers(LabelingConfig(workers=1, attempts=2)) as workers, ThreadPoolExecutor(1) as threads:
        future, killed = threads.submit(workers.label, BENZENE, SLOW), set[int]()
        for _ in range(2):
            wait_until(lambda: bool(set(workers.pids) - killed))
            (pid,) = set(workers.pids) - killed
            os.kill(pid, signal.SIGSEGV)
            killed.add(pid)
        failure = future.result()
        assert isinstance(failure, LabelFailure)
        assert failure.kind == "crashed"
        assert failure.attempts == 2
        assert "SIGSEGV" in failure.message


def test_an_idle_worker_that_was_killed_is_replaced() -> None:
    with LabelWorkers(LabelingConfig(workers=1)) as workers:
        assert isinstance(workers.label(argon(1), LJ), Label)
        os.kill(workers.pids[0], signal.SIGKILL)
        assert isinstance(workers.label(argon(2), LJ), Label)


@pytest.mark.whole
@needs_proc
def test_too_much_memory_is_a_failure_and_not_tried_again() -> None:
    with LabelWorkers(LabelingConfig(workers=1, memory_GB=0.2)) as workers:
        failure = workers.label(BENZENE, PySCFLevel(grid_level=9))
        assert isinstance(failure, LabelFailure)
        assert failure.kind == "out_of_memory"
        assert failure.attempts == 1
        assert "memory_GB" in failure.advice
        assert isinstance(workers.label(argon(), LJ), Label)


def test_what_would_come_out_the_same_is_not_tried_again() -> None:
    with LabelWorkers(LabelingConfig(workers=1, attempts=3)) as workers:
        unconverged = workers.label(WATER, DFT.model_copy(update={"max_scf_cycles": 1}))
        invalid = workers.label(Frame.from_atoms(molecule("H2O"), spin=1), DFT)
        overlapping = workers.label(argon().moved(argon().positions * 0.1), LJ)
        assert len(workers.pids) == 1
    kinds = [(f.kind, f.attempts) for f in (unconverged, invalid, overlapping) if isinstance(f, LabelFailure)]
    assert kinds == [("not_converged", 1), ("invalid_frame", 1), ("rejected_by_check", 1)]


def test_a_label_under_way_is_not_started_twice() -> None:
    with LabelWorkers(LabelingConfig(workers=3)) as workers, ThreadPoolExecutor(3) as threads:
        outcomes = list(threads.map(lambda _: workers.label(WATER, DFT), range(3)))
        assert len(workers.pids) == 1
    assert all(outcome is outcomes[0] for outcome in outcomes)


def test_closing_ends_the_labels_under_way() -> None:
    workers = LabelWorkers(LabelingConfig(workers=1))
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(workers.label, BENZENE, SLOW)
        waiting = threads.submit(workers.label, argon(), LJ)
        wait_until(lambda: bool(workers.pids))
        (pid,) = workers.pids
        workers.close()
        for future in (running, waiting):
            assert isinstance(future.exception(timeout=10), LabelingStoppedError)
    assert not is_running(pid)
    with pytest.raises(LabelingStoppedError, match="open new ones"):
        workers.label(argon(), LJ)


CAMPAIGN = """
import sys, threading, time
from ase.build import molecule
from labeling.level import PySCFLevel
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.frame import Frame

with LabelWorkers(LabelingConfig(workers=1)) as workers:
    def announce():
        while not workers.pids:
            time.sleep(0.02)
        print(workers.pids[0], flush=True)
    threading.Thread(target=announce, daemon=True).start()
    workers.label(Frame.from_atoms(molecule("C6H6")), PySCFLevel(basis="def2-QZVP", density_fit=False))
"""


@needs_proc
@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.slow) for how in (signal.SIGTERM, signal.SIGINT))],
)
def test_no_worker_outlives_its_parent(how: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", CAMPAIGN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # A background job of a shell ignores SIGINT, and so would the parent.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_running(child)
    time.sleep(1.5)  # into the compiled code
    os.kill(parent.pid, how)
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode != 0, errors
    wait_until(lambda: not is_running(child), seconds=5)
    wait_until(lambda: not list(tmp_path.glob("alnico-label-*")), seconds=5)


def test_one_worker_per_available_core_by_default() -> None:
    assert LabelWorkers().workers == available_cores()
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
