"""`benchmarks.gpu` without a card: in small, by Triton's interpreter; and what it does with what fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")  # read at the import
pytest.importorskip("triton", reason="Triton is not installed; it has wheels for Linux only")

from benchmarks import gpu
from benchmarks.gpu import Job, jobs, kept, markdown, outside
from benchmarks.gpu_kernels import kernels
from benchmarks.gpu_parts import SMOKE, Contest, dynamics, train
from potential.nequip.convolution import Convolution

ROOT = Path(__file__).parent.parent
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_without_a_card_one_line_says_so(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu"])
    gpu.main()
    assert capsys.readouterr().out.splitlines() == [
        "no CUDA device here: nothing was measured (--cpu-smoke tries the code on the CPU)"
    ]


@pytest.mark.slow
def test_kernels_agree_to_rounding():
    rows = list(kernels(DEVICE, 3, 6, 0, True, torch.float32))
    assert [row["way"] for row in rows] == ["Triton", "plain torch"]
    for row in rows:
        assert row["agrees"]
        assert all(0 <= row[name] < 1e-5 for name in ("F", "B", "A", "double", "energy", "slope", "gradient"))


@pytest.mark.slow
def test_kernels_with_other_mathematics_are_found(monkeypatch):
    weight = Convolution._weight
    monkeypatch.setattr(Convolution, "_weight", lambda self, m, w: 1.01 * weight(self, m, w))
    (row,) = kernels(DEVICE, 3, 6, 0, True, torch.float64)
    assert not row["agrees"]
    assert row["F"] == pytest.approx(0.01 / 1.01)
    assert "| NO |" in markdown(report([row]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        lambda: train(SMOKE, None),
        pytest.param(lambda: dynamics(SMOKE, SMOKE.dynamics[0], None), marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="small sizes are for Triton's interpreter")
def test_every_way_is_timed(part):
    rows = list(part())
    assert len(rows) == 3
    assert not any("failed" in row for row in rows)
    assert all(row["ms"] > 0 and row["peak_MB"] >= 0 for row in rows)
    assert all(row.get("force_difference_meV_A", 0) < 1e-2 for row in rows)
    if "dynamics" in rows[0]["case"]:
        per_day = 2 * 0.5e-6 * 86400 / (1e-3 * rows[0]["ms"])
        assert rows[0]["ns_per_day"] == pytest.approx(per_day), "of two replicas, at 0.5 fs a step"


def test_a_way_that_fails_leaves_the_others_going():
    contest, calls = Contest(DEVICE), iter([0.1, 0.1, 0.1])

    def bad():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90 GiB\nand so on")

    contest.enter("cannot start", 1, bad)
    contest.enter("stops", 1, lambda: {"runs": {"ms": lambda: next(calls)}})
    contest.enter("runs", 1, lambda: {"runs": {"ms": lambda: 0.25}})
    contest.time(0.0, turns=3)
    assert contest.rows["cannot start"]["failed"] == (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 90 GiB"
    )
    assert contest.rows["stops"] == {"way": "stops", "members": 1, "failed": "StopIteration"}
    assert contest.rows["runs"]["ms"] == 250.0


@pytest.mark.slow
def test_a_process_that_dies_or_takes_too_long_is_a_row():
    (row,) = outside(Job("md", ("no such system",)), smoke=True, peer=None, limit_s=240)
    assert row["failed"] == "exit 1: KeyError: 'no such system'"
    (row,) = outside(Job("md", SMOKE.dynamics), smoke=True, peer=None, limit_s=0.3)
    assert row["failed"] == "exit -9: took more than 0 s"


def report(rows):
    job = {"part": "kernels", "case": ["0", "both", "float64"], "finished": True, "rows": rows}
    return {"machine": {"device": "a card"}, "command": "it", "date": "today", "jobs": [job]}


def test_what_is_finished_on_this_machine_is_kept(tmp_path):
    output, now = tmp_path / "gpu.json", report([])
    assert kept(output, now, None) == []
    half = {"part": "md", "case": ["water"], "finished": False, "rows": []}
    output.write_text(json.dumps({**now, "jobs": [*now["jobs"], half]}))
    assert kept(output, now, None) == now["jobs"]
    assert kept(output, now, "md") == now["jobs"]
    assert kept(output, now, "kernels") == []
    assert kept(output, {**now, "machine": {"device": "another"}}, None) == []


def test_the_whole_is_kept_under_eight_minutes():
    """Kernels are compiled side by side, the rest runs one after the other."""
    assert (
        gpu.LIMIT_S["kernels"]
        + sum(gpu.LIMIT_S[part] * len(jobs(part, smoke=False)) for part in ("train", "md"))
        <= 8 * 60
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_writes_its_tables(tmp_path):
    done = command("--cpu-smoke", "--output", tmp_path / "gpu")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {job["part"] for job in found["jobs"]} == set(gpu.PARTS)
    assert all(job["finished"] for job in found["jobs"])
    assert "interpreted" in found["machine"]["device"]
    table = (tmp_path / "gpu.md").read_text()
    assert table == markdown(found)
    for part in gpu.PARTS:
        assert f"## {part}" in table
    again = command("--cpu-smoke", "--output", tmp_path / "gpu")
    assert again.returncode == 0
    assert again.stdout == "", "everything is there already"
