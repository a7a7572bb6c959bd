"""`label` as a pure task: the same label from threads, from processes and from a cluster."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from labeling import task
from labeling.confirming import Expectation
from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel, PySCFLevel
from labeling.task import close_workers, label, label_all, open_workers
from labeling.workers import LabelingConfig, LabelingStoppedError
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.molecules import molecule

LJ = LennardJonesLevel()
ONE = LabelingConfig(workers=1)
SLOW = PySCFLevel(basis="def2-QZVP", density_fit=False)


def argon(seed: int) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Frame.of([18] * 3, positions + np.random.default_rng(seed).normal(0, 0.1, (3, 3)))


@pytest.fixture(autouse=True)
def _closed():
    close_workers()  # those that a campaign left closed in this process
    yield
    close_workers()
    assert not task._pools


def pids() -> list[int]:
    return [pid for workers in task._pools.values() for pid in workers.pids]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def same_in(executor: Executor) -> None:
    frames = [argon(seed) for seed in range(6)]
    overlapping = frames[0].moved(frames[0].positions * 0.1)
    outcomes = {f.id: o for f, o in label_all([*frames, overlapping], LJ, ONE, executor=executor)}
    assert len(outcomes) == 7
    failure = outcomes[overlapping.id]
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "rejected_by_check"
    for frame in frames:
        found = outcomes[frame.id]
        assert isinstance(found, Label)
        here = compute(frame, LJ)
        assert found.energy == here.energy
        assert np.array_equal(found.forces, here.forces)


def test_what_it_takes_and_gives_can_be_pickled() -> None:
    water = molecule("H2O")
    expected = Expectation(energy=-1.0, deviation=0.1)
    for value in (label, water, PySCFLevel(basis={"default": "def2-SVP", "O": "def2-TZVP"}), ONE, expected):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes
    outcome = label(argon(0), LJ, ONE)
    assert isinstance(outcome, Label)
    assert pickle.loads(pickle.dumps(outcome)).energy == outcome.energy  # noqa: S301


def test_in_threads_with_one_pool_for_all() -> None:
    with ThreadPoolExecutor(3) as threads:
        labels = list(threads.map(lambda seed: label(argon(seed), LJ, ONE), range(6)))
        again = label(argon(0), LJ, ONE.model_copy(update={"store": "postgresql://elsewhere"}))
    assert [found.energy for found in labels] == [compute(argon(seed), LJ).energy for seed in range(6)]
    assert isinstance(again, Label)
    assert len(pids()) == 1
    same_in(ThreadPoolExecutor(2))


def test_in_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        same_in(processes)


def test_a_forked_process_leaves_its_parents_workers_alone() -> None:
    assert isinstance(label(argon(9), LJ, ONE), Label)
    (mine,) = pids()
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as processes:
        assert processes.submit(_label_and_close, 0).result() != mine
    gc.collect()
    assert pids() == [mine]
    assert isinstance(label(argon(10), LJ, ONE), Label)


def _label_and_close(seed: int) -> int:
    assert isinstance(label(argon(seed), LJ, ONE), Label)
    (pid,) = next(workers for (owner, _), workers in task._pools.items() if owner == os.getpid()).pids
    close_workers()
    return pid


@pytest.mark.slow
def test_on_a_dask_cluster() -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        same_in(client.get_executor())


def test_closed_workers_stay_closed_until_they_are_opened_again() -> None:
    with open_workers(ONE):
        assert isinstance(label(argon(0), LJ, ONE), Label)
        (pid,) = pids()
    assert not is_running(pid)
    with pytest.raises(LabelingStoppedError):
        label(argon(1), LJ, ONE)
    with open_workers(ONE):
        assert isinstance(label(argon(1), LJ, ONE), Label)
    close_workers()
    assert isinstance(label(argon(1), LJ, ONE), Label)


def test_breaking_off_ends_what_runs_and_what_waits() -> None:
    benzene = molecule("C6H6")
    scaled = [benzene.moved(benzene.positions * s) for s in (1.0, 1.01, 1.02)]
    outcomes = label_all([argon(seed) for seed in range(40)], LJ, ONE)
    frame, found = next(outcomes)
    assert found.frame_id == frame.id
    (pid,) = pids()
    outcomes.close()
    assert not is_running(pid)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(next, label_all(scaled, SLOW, ONE))
        while not pids():
            time.sleep(0.02)
        close_workers()
        assert isinstance(waiting.exception(timeout=120), LabelingStoppedError)
    assert time.monotonic() - started < 120


ONE_LABEL = """
import sys, numpy as np
from labeling import task
from labeling.level import LennardJonesLevel
from potential.data.frame import Frame
task.label(Frame.of([18, 18], np.array([[0.0, 0, 0], [3.8, 0, 0]])), LennardJonesLevel())
print(*[pid for workers in task._pools.values() for pid in workers.pids], flush=True)
"""


def test_nothing_is_left_when_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_LABEL], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not any(map(is_running, map(int, done.stdout.split())))


# A labeler that runs a program of its own, in a process group of its own, as ASE's calculators do.
RUNS_A_PROGRAM = """
import os, subprocess, sys, time
if "labeling.child" in sys.orig_argv:
    from labeling import lennard_jones
    compute = lennard_jones.compute
    def with_program(frame, level):
        if "PROGRAM" in os.environ and not os.path.exists(os.environ["PROGRAM"]):
            program = subprocess.Popen([sys.executable, "-c", os.environ["CODE"]], process_group=0)
            with open(os.environ["PROGRAM"] + ".new", "w") as file:
                file.write(f"{os.getpid()} {program.pid}")
            os.rename(os.environ["PROGRAM"] + ".new", os.environ["PROGRAM"])
            program.wait()
        return compute(frame, level)
    lennard_jones.compute = with_program
"""
SLEEPS = "import time; time.sleep(600)"
HOARDS = "import time; hoard = b'1' * 600_000_000; time.sleep(600)"

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks into /proc")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the labeler writes its process id and its program's."""
    (tmp_path / "sitecustomize.py").write_text(RUNS_A_PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PROGRAM", str(tmp_path / "pids"))
    return tmp_path / "pids"


@needs_proc
@pytest.mark.parametrize(
    ("code", "settings", "kind"),
    [
        (SLEEPS, {"timeout_s": 3.0, "attempts": 1}, "timeout"),
        (HOARDS, {"memory_GB": 0.5}, "out_of_memory"),
    ],
)
def test_a_worker_takes_what_it_started_along(
    code: str, settings: dict[str, float], kind: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODE", code)
    config = LabelingConfig(workers=1, **settings)
    failure = label(argon(0), LJ, config)
    assert isinstance(failure, LabelFailure)
    assert failure.kind == kind
    worker, started = map(int, program.read_text().split())
    assert not is_running(worker)
    wait_until(lambda: not is_running(started))
    assert isinstance(label(argon(0), LJ, config), Label)  # the next worker is well


@needs_proc
@pytest.mark.parametrize("whom", ["worker", "parent"])
def test_a_program_does_not_outlive_a_killed_worker_or_its_parent(
    whom: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed worker costs one attempt; where the campaign is killed, all end within seconds."""
    monkeypatch.setenv("CODE", SLEEPS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(program.parent), *sys.path])}
    parent = subprocess.Popen(
        [sys.executable, "-c", ONE_LABEL], env=environment, stdout=subprocess.PIPE, text=True
    )
    wait_until(program.exists)
    worker, started = map(int, program.read_text().split())
    os.kill(worker if whom == "worker" else parent.pid, signal.SIGKILL)
    parent.communicate(timeout=30)
    assert (parent.returncode == 0) == (whom == "worker")
    wait_until(lambda: not is_running(worker) and not is_running(started))
