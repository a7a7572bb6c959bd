"""SIGTERM ends every command as Ctrl-C does, and what was reached is on disk."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from flows.cli.app import run_command
from flows.interrupts import interrupts, raise_if_interrupted
from flows.steps.step import step, step_task
from potential.data.frame import Frame
from potential.data.structure_files import frames_as_they_come, read_frames, write_frames
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.package import save_potential

TRIMER = Frame.of([18] * 3, [[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [1.9, 3.3, 0.0]])


def dynamics(folder: Path, steps: int) -> list[str]:
    settings = ModelConfig(num_layers=1, l_max=0, num_features=2, committee_size=2)
    save_potential(folder / "potential", NequIP(settings, [18], seed=0, avg_num_neighbors=2.0), {})
    write_frames(folder / "start.extxyz", [TRIMER])
    files = [str(folder / name) for name in ("potential", "start.extxyz")]
    return ["md", *files, "--steps", str(steps), "--every", "10", "--output", str(folder / "md.extxyz")]


@pytest.mark.whole
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_dynamics_that_is_killed_leaves_its_trajectory(tmp_path: Path, how: signal.Signals):
    command = [sys.executable, "-m", "flows.cli.app", *dynamics(tmp_path, 10_000_000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = [process.stdout.readline() for _ in range(6)]
        assert len(read_frames(tmp_path / "md.extxyz", check=False)) >= 4  # while it runs
        process.send_signal(how)
        rest, said = process.stdout.read(), process.stderr.read()
    written = len(read_frames(tmp_path / "md.extxyz", check=False))
    assert written >= len(printed) - 2
    if how is signal.SIGTERM:
        assert process.returncode == 130
        assert f"wrote {written} frames" in rest
        assert said.strip() == "interrupted"


def test_frames_are_in_the_file_as_they_come(tmp_path: Path):
    path = tmp_path / "new" / "md.extxyz"
    with frames_as_they_come(path) as write:
        for i in range(3):
            write(TRIMER.moved(TRIMER.positions + i, origin={"i": i}))
            assert [frame.origin["i"] for frame in read_frames(path)] == list(range(i + 1))
    with frames_as_they_come(path) as write:
        write(TRIMER)
    assert read_frames(path) == [TRIMER]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_within_a_command_sigterm_and_sighup_are_interrupts(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    from flows.cli import app

    monkeypatch.setattr(app, "app", lambda *tokens, **options: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.SIG_DFL)  # SIGHUP is ignored below nohup
    try:
        assert run_command(["schema"]) == 130
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_other_threads_leave_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_interrupt_that_a_library_swallows_is_heard_at_the_next_step():
    begun: list[int] = []

    @step_task("begin", "begin {number}")
    def begin(number: int) -> None:
        begun.append(number)
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    try:
        with pytest.raises(KeyboardInterrupt), interrupts():  # noqa: PT012
            begin.fn(0)
            begin.fn(1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert begun == [0]
    raise_if_interrupted()  # what is over is forgotten


def test_an_ignored_interrupt_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            raise_if_interrupted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_step_that_is_interrupted_is_cancelled_in_prefect(prefect_url: str):
    @step("work", "work {number}")
    def work(number: int) -> None:
        raise KeyboardInterrupt

    @flow(persist_result=False)
    def run() -> str:
        with pytest.raises(KeyboardInterrupt):
            work(1)
        return "done"

    state = run(return_state=True)
    with get_client(sync_client=True) as client:
        (task,) = [t for t in client.read_task_runs() if t.flow_run_id == state.state_details.flow_run_id]
    assert (task.name, task.state_type, task.state_name) == ("work 1", StateType.CANCELLED, "Stopped")
