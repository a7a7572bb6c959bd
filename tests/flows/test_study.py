"""A small study, from its YAML file to table, figure and MLflow, and what a second run does."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient

from exploration.labelled_pool import scored_pool, select_from_pool
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.uncertain import Uncertain
from flows.cli.app import run_command
from flows.deployments.study import study_step
from flows.errors import ConfigError
from flows.settings.study_config import load_study
from flows.study.curves import Data, curves_of, draw_curve, finished_points, folder_of, points_left
from flows.study.loop import time_left
from flows.study.report import learning_curves, statements, table
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import molecule, read_frames, write_frames
from potential.evaluator import Evaluator
from potential.nequip.batch import Structures
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential, save_potential

WATER, SULFIDE = molecule("H2O"), molecule("SH2")


def labelled(n: int, seed: int, rest: Frame = WATER) -> Dataset:
    """Three atoms on springs of 20 eV/Å^2 to their rest."""
    rng = np.random.default_rng(seed)
    frames = [rest.moved(rest.positions + 0.1 * rng.normal(size=(3, 3))) for _ in range(n)]
    moves = [frame.positions - rest.positions for frame in frames]
    return Dataset.of(
        LabelledFrame(
            frame=f,
            label=Label(frame_id=f.id, level_key="springs", energy=10 * float((u**2).sum()), forces=-20 * u),
        )
        for f, u in zip(frames, moves, strict=True)
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, prefect_url: str, one_mlflow_store: str) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_frames(folder / "pool.extxyz", labelled(12, 0))
    write_frames(folder / "test.extxyz", labelled(5, 1))
    model = {"l_max": 1, "num_layers": 1, "num_features": 4, "radial_mlp_width": 8, "committee_size": 2}
    content = {
        "name": "springs",
        "pool": {"path": "pool.extxyz"},
        "tests": {"thermal": {"path": "test.extxyz"}},
        "sizes": [4, 6, 9],
        "seeds": 2,
        "strategies": {"random": {"strategy": "random"}, "unsure": {"strategy": "uncertain"}},
        "models": {"small": model},
        "training": {"max_epochs": 8, "validation_fraction": 0.0},
        "targets_meV_per_A": [1e6],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    assert run_command(["study", str(folder / "study.yaml")]) == 0
    return folder


def test_every_point_is_there_and_strategies_share_their_start(study: Path):
    config = load_study(study / "study.yaml")
    points = finished_points(config)
    assert len(points) == 2 * 2 * 3
    assert points["n_labels"].tolist() == [4, 6, 9] * 4
    starts = points[points["size"] == 4].groupby("seed")["thermal_force_mae"]
    assert (starts.nunique() == 1).all()  # one committee for both strategies
    assert points.groupby(["size", "seed"])["thermal_force_mae"].nunique().max() == 2
    written = pd.read_csv(study / "studies/springs/points.csv")
    pd.testing.assert_frame_equal(written, points, check_dtype=False)


def test_the_most_uncertain_of_the_pool_were_picked(study: Path):
    import json

    root = study / "studies/springs/curves"
    picked = json.loads((root / "small-unsure-0/picked_after_00004.json").read_text())["picked"]
    committee = Evaluator(load_potential(root / "small-start-0/00004/potential"))
    pool = read_frames(study / "pool.extxyz")
    worst = committee(Structures.of(pool)).force_disagreement.view(12, 3).amax(1).tolist()
    by_id = dict(zip((frame.id for frame in pool), worst, strict=True))
    explored = scored_pool(committee, pool, candidate_share=0.5)
    assert explored.counts == {"accurate": 6, "candidate": 6, "failed": 0}
    assert explored.records["max_force_disagreement"].tolist() == pytest.approx(worst)
    learned = [frame for frame in pool if frame.id not in picked][:4]
    found = select_from_pool(committee, pool, learned, Uncertain(), 2, candidate_share=1.0, seed=0)
    left = sorted((by_id[f.id] for f in pool if f not in learned), reverse=True)
    assert [by_id[frame.id] for frame in found.frames] == left[:2]

    hot: dict[str, Any] = {"temperature_K": "hot"}
    met: list[dict[str, Any]] = [{"temperature_K": 300.0}, {"bath_temperature_K": 600.0}, hot, {}]
    ladder = [frame.moved(frame.positions, origin=met[i % 4]) for i, frame in enumerate(pool)]
    rungs = scored_pool(committee, ladder, candidate_share=1.0).records["bath_temperature_K"]
    assert rungs.tolist() == [300.0, 600.0, 0.0, 0.0] * 3
    drawn = select_from_pool(committee, ladder, learned, WeightedKMeans(), 2, candidate_share=1.0, seed=0)
    by_rung = {frame.id: rung for frame, rung in zip(ladder, rungs, strict=True)}
    assert [by_rung[frame.id] for frame in drawn.frames] == [600.0, 300.0]  # in turn, the hottest first


def test_a_second_run_makes_nothing_anew(study: Path, one_mlflow_store: str, monkeypatch: pytest.MonkeyPatch):
    before = {p: p.stat().st_mtime_ns for p in (study / "studies").rglob("manifest.json")}
    assert len(before) == 2 + 2 * 2 * 2  # a start for each seed, two more points for each curve
    monkeypatch.chdir(study)
    state = study_step("study.yaml", return_state=True)  # as a deployment runs it
    assert state.is_completed()
    assert str(study / "studies" / "springs" / "study.md") in state.message
    assert {p: p.stat().st_mtime_ns for p in (study / "studies").rglob("manifest.json")} == before
    outside = study_step("../study.yaml", return_state=True)
    assert outside.is_failed()
    assert "leads out of the working folder" in outside.message
    client = MlflowClient(tracking_uri=one_mlflow_store)
    experiment = client.get_experiment_by_name("springs")
    runs = client.search_runs([experiment.experiment_id])
    named = sorted(map(str, curves_of(load_study(study / "study.yaml"))))
    assert sorted(run.info.run_name for run in runs) == named
    history = client.get_metric_history(runs[0].info.run_id, "thermal_force_mae_meV_per_A")
    assert [metric.step for metric in history] == [4, 6, 9]


def test_what_is_to_go_before_curves_of_other_settings_are_drawn(
    study: Path, capsys: pytest.CaptureFixture[str]
):
    content = yaml.safe_load((study / "study.yaml").read_text())
    content["training"]["max_epochs"] = 9
    (study / "longer.yaml").write_text(yaml.safe_dump(content))
    assert run_command(["study", str(study / "longer.yaml")]) == 1
    said = capsys.readouterr().err
    assert "training.max_epochs: was 8, is now 9" in said
    assert f"a new study under another `name`, or delete {study / 'studies/springs/curves'}\n" in said


def test_what_is_left_is_said_with_the_time(study: Path, tmp_path: Path):
    shutil.copytree(study, tmp_path / "study")
    config = load_study(tmp_path / "study" / "study.yaml")
    manifests = sorted(folder_of(config).rglob("manifest.json"))
    assert points_left(config) == (0, len(manifests)) == (0, 2 + 2 * 2 * 2)
    kept = [path.rename(path.with_name("kept.json")) for path in manifests[:3]]
    said = time_left(config)
    assert said() == ""  # nothing was made since
    kept[0].rename(manifests[0])
    assert re.fullmatch(r"; 2 of 10 points are left, about .+", said())


def test_table_statements_and_figure(study: Path):
    config = load_study(study / "study.yaml")
    points = finished_points(config)
    rows = table(config, points, "small", "thermal_force_mae")
    mean = points[(points["strategy"] == "unsure") & (points["size"] == 9)]["thermal_force_mae"].mean()
    assert rows[1]["9"] == f"{1000 * mean:.1f}"
    assert rows[0]["error against random"] == "–"
    mean = points[(points["strategy"] == "unsure") & (points["size"] == 9)]["thermal_energy_mae"].mean()
    energies = table(config, points, "small", "thermal_energy_mae", digits=2)
    assert energies[1]["9"] == f"{1000 * mean:.2f}"
    (said,) = statements(config, points, "small", "thermal_force_mae")
    assert said.startswith("small, unsure: 1e+06 meV/Å:")  # met by the start, which both share
    assert "no difference from random seen" in said
    figure = learning_curves(config, points)
    assert figure.axes[0].get_legend_handles_labels()[1] == ["random", "unsure"]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "force MAE, thermal test",
        "force error of the worst 1% of the atoms, thermal test",
        "energy MAE, thermal test",
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == ["meV/Å", "meV/Å", "meV/atom"]
    # a curve that is not finished does not count
    cut = points.drop(points[(points["strategy"] == "unsure") & (points["seed"] == 1)].index[-1:])
    assert [row["seeds"] for row in table(config, cut, "small", "thermal_force_mae")] == ["2", "1"]
    text = (study / "studies/springs/study.md").read_text()
    assert "finished" in text
    assert "## energy MAE, thermal (meV/atom)" in text


def test_what_a_study_refuses(study: Path, tmp_path: Path):
    content = yaml.safe_load((study / "study.yaml").read_text())
    for change, said in (
        ({"sizes": [6, 4]}, "must rise"),
        ({"strategies": {"Bad Name": {"strategy": "random"}}}, "cannot name a folder"),
        ({"seedz": 3}, "seedz"),
        ({"folder": "~no_such_user/x"}, "a path that cannot be"),
        ({"weights": {"small": "a\0b"}}, "a path that cannot be"),
    ):
        (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content | change))
        with pytest.raises(ConfigError, match=said):
            load_study(tmp_path / "bad.yaml")
    (study / "more.yaml").write_text(yaml.safe_dump(content | {"sizes": [4, 100], "name": "more"}))
    assert run_command(["study", str(study / "more.yaml")]) == 2
    leak = content | {"tests": {"same": {"path": "pool.extxyz"}}, "name": "leak"}
    (study / "leak.yaml").write_text(yaml.safe_dump(leak))
    assert run_command(["study", str(study / "leak.yaml")]) == 2


def test_a_model_of_the_first_few_knows_every_element_of_the_pool(study: Path):
    """With this seed the first four are all water."""
    write_frames(study / "mixed.extxyz", [*labelled(12, 0), *labelled(1, 2, SULFIDE)])
    write_frames(study / "both.extxyz", [*labelled(2, 1), *labelled(1, 3, SULFIDE)])
    content = yaml.safe_load((study / "study.yaml").read_text())
    content |= {"name": "mixed", "sizes": [4, 6], "seeds": 1, "tests": {"both": {"path": "both.extxyz"}}}
    (study / "mixed.yaml").write_text(yaml.safe_dump(content | {"pool": {"path": "mixed.extxyz"}}))
    config = load_study(study / "mixed.yaml")
    data = Data.of(config)
    rows = [row for curve in curves_of(config) for row in draw_curve(config, curve, data)]
    assert [row["n_labels"] for row in rows] == [4, 6] * 2
    first = load_potential(folder_of(config) / "curves/small-start-0/00004/potential")
    assert first.numbers.tolist() == [1, 8, 16]
    (study / "water.yaml").write_text(yaml.safe_dump(content | {"name": "water"}))
    with pytest.raises(ValueError, match=r"tests.both: models.small would never have seen S"):
        Data.of(load_study(study / "water.yaml"))
    taught = NequIP(config.models["small"], [1, 8, 16], seed=0, avg_num_neighbors=2.0)
    save_potential(study / "sulfur", taught, {})
    with_weights = content | {"name": "water", "weights": {"small": "sulfur"}}
    (study / "water.yaml").write_text(yaml.safe_dump(with_weights))
    assert Data.of(load_study(study / "water.yaml")).weights["small"].numbers.tolist() == [1, 8, 16]


def test_what_no_training_can_learn_is_said_before_the_first(study: Path):
    content = yaml.safe_load((study / "study.yaml").read_text())
    stressed = content["training"] | {"stress_weight": 1.0}
    (study / "stressed.yaml").write_text(yaml.safe_dump(content | {"training": stressed}))
    with pytest.raises(ValueError, match="no label has a stress"):
        Data.of(load_study(study / "stressed.yaml"))


def test_a_model_may_begin_from_a_potential(study: Path):
    source = yaml.safe_load((study / "study.yaml").read_text())
    source |= {
        "name": "taught",
        "models": {"small": source["models"]["small"], "taught": source["models"]["small"]},
        "strategies": {"random": {"strategy": "random"}},
        "sizes": [4],
        "training": {"max_steps": 1, "validation_fraction": 0.0},
        "fine_tuning_rate": 1e-9,
        "weights": {"taught": "taught"},
    }
    (study / "taught.yaml").write_text(yaml.safe_dump(source))
    settings = ModelConfig.model_validate(source["models"]["small"])
    taught = NequIP(settings, [1, 8], seed=5, avg_num_neighbors=2.0)
    save_potential(study / "taught", taught, {})
    config = load_study(study / "taught.yaml")
    data = Data.of(config)
    for curve in curves_of(config):
        list(draw_curve(config, curve, data))
    learned = load_potential(folder_of(config) / "curves/taught-start-0/00004/potential")
    scratch = load_potential(folder_of(config) / "curves/small-start-0/00004/potential")
    torch.testing.assert_close(learned.embedding, taught.embedding)  # hardly moved at such a rate
    assert not torch.allclose(scratch.embedding, taught.embedding)


def test_weights_of_another_model_or_element_are_refused(study: Path, tmp_path: Path):
    config = load_study(study / "study.yaml").model_copy(update={"weights": {"small": tmp_path / "taught"}})
    settings = config.models["small"]
    save_potential(tmp_path / "taught", NequIP(settings, [1, 6], seed=0, avg_num_neighbors=2.0), {})
    with pytest.raises(ValueError, match=r"weights.small: .* has never seen O; pretrain on it too"):
        Data.of(config)
    larger = settings.model_copy(update={"num_features": 8})
    save_potential(tmp_path / "taught", NequIP(larger, [1, 8], seed=0, avg_num_neighbors=2.0), {})
    with pytest.raises(ValueError, match=r"num_features=8.*, and models.small is .*num_features=4"):
        Data.of(config)
    content = yaml.safe_load((study / "study.yaml").read_text()) | {"weights": {"large": "taught"}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"weights: \['large'\] are none of the models \['small'\]"):
        load_study(tmp_path / "study.yaml")
