"""`benchmarks.rmd17` on water in small: taught and not, resumed, as a table; and frames for studies."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import broad_frames, ladder_pool, rmd17
from exploration.settings import SurvivalTest
from labeling.ase_labeler import compute
from labeling.ase_level import AseLevel
from potential.data.dataset import LabelledFrame
from potential.data.structure_files import molecule, read_frames, write_frames

TEACHER = {"frames": 20, "max_steps": 4, "dynamics": {"temperatures_K": [500], "walkers": 1}}
MODEL = {"num_layers": 1, "l_max": 0, "num_features": 2, "committee_size": 2, "r_max": 3.0}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    water, rng = molecule("H2O"), np.random.default_rng(0)
    level = AseLevel(calculator="tblite.ase.TBLite", parameters={"method": "GFN1-xTB"})
    frames = [water.moved(water.positions + rng.normal(0, 0.05, (3, 3))) for _ in range(8)]
    labelled = [LabelledFrame(frame=frame, label=compute(frame, level)) for frame in frames]
    write_frames(tmp_path / "water_train_01.xyz", labelled[:5])
    write_frames(tmp_path / "water_test_01.xyz", labelled[5:])
    return tmp_path


def test_each_result_is_made_once_and_stands_in_the_table(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*options: str) -> str:
        given = [str(data), "--output", str(data / "out"), "--molecule", "water", *options]
        monkeypatch.setattr(sys, "argv", ["benchmarks.rmd17", *given])
        rmd17.main()
        return capsys.readouterr().out

    small = ["--steps", "3", "--model", json.dumps(MODEL), "--frames", "3", "5"]
    taught = ["--teacher", json.dumps(TEACHER)]
    run(*small, *taught, "--seeds", "0", "1")
    monkeypatch.setattr(rmd17, "SURVIVAL", SurvivalTest(replicas=1, temperatures_K=(300.0,), n_steps=5))
    run(*small, "--survival")
    results = rmd17.read_results(data / "out" / "results.jsonl")
    asked = [(r["frames"], r["seed"], r["teacher"] is not None) for r in results]
    assert [r.get("survival", {}).keys() for r in results[3:5]] == [set(), {"300 K"}]
    assert asked == [(3, 0, True), (5, 0, True), (3, 1, True), (5, 1, True), (3, 0, False), (5, 0, False)]
    assert len(list((data / "out").glob("water-taught-*"))) == 2  # once for a seed, not for every number
    assert run(*small, *taught, "--seeds", "0", "1") == ""  # nothing is left to do
    rows = run("--table").splitlines()
    assert len(rows) == 2 + 4
    forces = [1000 * r["force_mae"] for r in results if r["frames"] == 3 and r["teacher"]]
    shown = re.search(r"\| ([\d.]+) \(([\d.]+), ([\d.]+)\) \|", rows[2])
    assert shown is not None
    assert [float(x) for x in shown.groups()] == pytest.approx([np.mean(forces), *forces], abs=0.051)
    run("--figure", str(data / "curves.svg"))
    assert "taught by GFN2-xTB" in (data / "curves.svg").read_text()
    shorter = [
        r | {"training": r["training"] | {"max_steps": 2}, "steps": 2, "force_mae": 1e3} for r in results
    ]
    lines = rmd17.curves(results + shorter).axes[0].lines
    (drawn,) = (line for line in lines if "taught" in str(line.get_label()))
    at, errors = np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata())
    assert at.tolist() == [3, 5]
    assert errors[0] == pytest.approx(np.mean(forces))  # of the longest trainings alone, over both seeds
    uneven = [r | {"steps": r["steps"] + r["seed"]} for r in results]  # where seconds end a training
    (drawn,) = (line for line in rmd17.curves(uneven).axes[0].lines if "taught" in str(line.get_label()))
    assert np.asarray(drawn.get_ydata())[0] == pytest.approx(np.mean(forces))
    products = [r | {"model": r["model"] | {"correlation": 3}} for r in results]
    labels = [str(line.get_label()) for line in rmd17.curves(results + products).axes[0].lines]
    ways = ["from random weights", "taught by GFN2-xTB"]
    assert labels == [way + more for way in ways for more in ("", ", products")]  # a curve for each kind


def test_a_broad_test_is_hot_displaced_and_stretched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    water = molecule("H2O")
    start = [water.moved(water.positions * scale) for scale in (1.0, 1.01)]
    write_frames(tmp_path / "water.xyz", start)
    monkeypatch.setattr(sys, "argv", ["broad_frames", str(tmp_path / "water.xyz"), "--output", "broad.xyz"])
    monkeypatch.chdir(tmp_path)
    broad_frames.main()
    frames = read_frames(tmp_path / "broad.xyz")
    methods = Counter(frame.origin["method"] for frame in frames)
    assert methods == {"xtb_md": 20, "displacement": 15, "normal_modes": 15}
    assert len({frame.id for frame in frames}) == 50


def test_a_ladder_of_a_teacher_keeps_its_last_walks_for_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    water, level = molecule("H2O"), AseLevel(calculator="ase.calculators.emt.EMT")
    labelled = []
    for n in range(24):
        origin = {"temperature_K": (400.0, 1000.0)[n % 2], "walk": n % 6}
        frame = water.moved(water.positions * (1 + n / 1000), origin=origin)
        labelled.append(LabelledFrame(frame=frame, label=compute(frame, level)))
    write_frames(tmp_path / "labelled.extxyz", labelled)
    monkeypatch.setattr(ladder_pool, "POOL_FRAMES", 7)
    monkeypatch.setattr(sys, "argv", ["ladder_pool", "labelled.extxyz", "--tests", "1000"])
    monkeypatch.chdir(tmp_path)
    ladder_pool.main()
    origins = [frame.origin for frame in read_frames(tmp_path / "ladder/pool.extxyz")]
    assert Counter(o["temperature_K"] for o in origins) == {400.0: 7, 1000.0: 7}
    assert {o["walk"] for o in origins} <= {0, 1, 2, 3}  # 4 is the last walk at 400 K, 5 at 1000 K
    tested = read_frames(tmp_path / "ladder/test1000.extxyz")
    assert [frame.origin["walk"] for frame in tested] == [5] * 4
    assert sorted(p.name for p in (tmp_path / "ladder").iterdir()) == ["pool.extxyz", "test1000.extxyz"]
