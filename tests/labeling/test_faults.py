"""Forty labels through everything that may go wrong at once; nothing is lost, nothing computed twice.

One worker is killed with -9, one label hangs, one runs out of memory, one SCF does not converge, and one
frame has overlapping atoms.
"""

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from labeling.failure import LabelFailure
from labeling.level import LevelOfTheory, PySCFLevel
from labeling.store import LabelStore
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.molecules import molecule

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")

# In the label workers, Python imports `sitecustomize` when it starts. It notes each computation, and makes
# the frames that are marked by their first coordinate hang in compiled code, or take memory.
FAULTS = """
import os, sys, time
if "labeling.child" in sys.orig_argv:
    from labeling import attempt
    compute = attempt.compute
    def faulty(frame, level, conditions):
        with open(os.environ["COMPUTED_LOG"], "a") as log:
            log.write(f"{frame.id} {os.getpid()}\\n")
        match round(frame.positions[0, 0]):
            case 1000:
                time.sleep(600)
            case 2000:
                hoard = bytearray(800_000_000)
                for i in range(0, len(hoard), 4096):
                    hoard[i] = 1
                time.sleep(600)
            case 3000:
                time.sleep(3)
        return compute(frame, level, conditions)
    attempt.compute = faulty
"""
HANGS, HOARDS, LASTS = 1000.0, 2000.0, 3000.0


def moved(frame: Frame, x: float) -> Frame:
    shift = np.array([x, 0, 0]) - [frame.positions[0, 0], 0, 0]
    return frame.moved(frame.positions + shift)


def run_with_faults(
    level: LevelOfTheory,
    sound: list[Frame],
    bad: dict[str, Frame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    timeout_s: float,
) -> tuple[LabelStore, Counter[str]]:
    """Label all; kill the worker of `bad["killed"]` in mid-computation. Then do it all again, for nothing."""
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    log = tmp_path / "computed.log"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COMPUTED_LOG", str(log))
    store = LabelStore(tmp_path / "labels.db")
    frames = [*sound[:10], *bad.values(), *sound[10:]]
    config = LabelingConfig(workers=2, timeout_s=timeout_s, memory_GB=0.7, backoff_s=0.1)

    def computed() -> list[tuple[str, int]]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def label(frame: Frame) -> None:
        if store.get(frame.id, level.key) or store.failure(frame.id, level.key):
            return
        outcome = workers.label(frame, level)
        if isinstance(outcome, Label):
            store.add(frame, outcome)
        else:
            store.add_failure(frame, outcome)

    def kill_it() -> None:
        while not (pids := [pid for frame_id, pid in computed() if frame_id == bad["killed"].id]):
            time.sleep(0.02)
        os.kill(pids[0], signal.SIGKILL)

    with LabelWorkers(config) as workers:
        killer = threading.Thread(target=kill_it)
        killer.start()
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(label, frames))
            killer.join(timeout=60)
            assert not killer.is_alive()
            first = computed()
            list(threads.map(label, frames))
        assert computed() == first
        pids = workers.pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    return store, Counter(frame_id for frame_id, _ in first)


def check(
    store: LabelStore, first: Counter[str], level: LevelOfTheory, sound: list[Frame], bad: dict[str, Frame]
) -> None:
    assert store.counts(level.key)["labelled"] == 36
    labelled = {frame.id for frame in store.frames(level.key)}
    assert labelled == {frame.id for frame in [*sound, bad["killed"]]}
    kinds = {frame.id: failure for frame, failure in store.failures(level.key)}
    expected = {
        "hangs": ("timeout", 2, "timeout_s"),
        "hoards": ("out_of_memory", 1, "memory_GB"),
        "unconverged": ("not_converged", 1, "max_scf_cycles"),
        "overlaps": ("invalid_frame", 1, ""),
    }
    for name in bad:
        if name == "killed":
            continue
        kind, attempts, advice = expected[name]
        failure: LabelFailure = kinds[bad[name].id]
        assert (failure.kind, failure.attempts) == (kind, attempts), failure
        assert advice in failure.advice
    # Only the killed one and the one that hung were begun again.
    again = {frame_id for frame_id, count in first.items() if count > 1}
    assert again == {bad["killed"].id, bad["hangs"].id}
    assert first[bad["killed"].id] == first[bad["hangs"].id] == 2


def lithium_fluoride(distance: float) -> Frame:
    """Pulled apart: its SCF converges on no rung within the few cycles that are allowed here."""
    return Frame.of([3, 9], [[0, 0, 0], [0, 0, distance]])


def hydrogen(distance: float) -> Frame:
    return Frame.of([1, 1], [[0, 0, 0], [0, 0, distance]])


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_forty_labels_of_hydrogen_and_five_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level = PySCFLevel(basis="sto-3g", grid_level=1, max_scf_cycles=4)
    sound = [hydrogen(0.7 + 0.005 * i) for i in range(35)]
    bad = {
        "killed": moved(hydrogen(0.9), LASTS),
        "hangs": moved(hydrogen(0.9), HANGS),
        "hoards": moved(hydrogen(0.9), HOARDS),
        "unconverged": lithium_fluoride(3.0),
        "overlaps": hydrogen(0.1),
    }
    store, first = run_with_faults(level, sound, bad, tmp_path, monkeypatch, timeout_s=8)
    check(store, first, level, sound, bad)


@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_forty_labels_of_ethanol_and_five_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with labels of PBE/def2-SVP, some seconds each."""
    level = PySCFLevel(grid_level=1, max_scf_cycles=5)
    rng = np.random.default_rng(0)
    ethanol = molecule("CH3CH2OH")
    sound = [ethanol.moved(ethanol.positions + rng.normal(0, 0.03, (9, 3))) for _ in range(35)]
    bad = {
        "killed": moved(ethanol, LASTS),
        "hangs": moved(ethanol, HANGS),
        "hoards": moved(ethanol, HOARDS),
        "unconverged": lithium_fluoride(5.0),
        "overlaps": ethanol.moved(ethanol.positions * 0.3),
    }
    store, first = run_with_faults(level, sound, bad, tmp_path, monkeypatch, timeout_s=40)
    check(store, first, level, sound, bad)
