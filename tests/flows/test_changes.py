"""Settings may change while a campaign runs: what is finished stays, and every round knows its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from flows.campaign.settle import pending, settle
from flows.errors import ChangedMindError
from flows.record.begin_anew import finish_moving, keep_for_anew
from flows.record.changes import in_force, read_changes
from flows.record.folder import CampaignFolder
from flows.record.rounds import OUTCOMES_FILE
from flows.views.changes import changes_of
from labeling.differences import what_differs
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel, PySCFLevel
from labeling.store import LabelStore
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames


@pytest.fixture(scope="module")
def lj_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six triangles of argon."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("frames") / "argon.extxyz"
    triangle = np.array([[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [1.9, 3.3, 0.0]])
    write_frames(path, [Frame.of([18] * 3, triangle + rng.normal(0, 0.1, (3, 3))) for _ in range(6)])
    return path


@pytest.fixture
def finished(finished_campaign: Path) -> Path:
    """A campaign of which four rounds are trained and three selected, and that knows its settings."""
    stages = [finished_campaign / "frames", finished_campaign / "labels"]
    for number in range(4):
        here = CampaignFolder.open(finished_campaign).round(number)
        stages += [here.train] if number == 3 else [here.train, here.explore, here.select, here.label]
    for stage in stages:
        stage.mkdir(exist_ok=True)
        (stage / "manifest.json").write_text("{}")
    settle(CampaignFolder.open(finished_campaign))
    return finished_campaign


def changed(folder: Path, **sections: object) -> CampaignFolder:
    """The campaign after somebody has edited its file."""
    content = yaml.safe_load((folder / "campaign.yaml").read_text())
    for name, value in sections.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    (folder / "campaign.yaml").write_text(yaml.safe_dump(content))
    return CampaignFolder.open(folder)


def test_a_changed_training_is_asked_for_and_counts_from_the_next_round_on(finished: Path) -> None:
    folder = changed(finished, training={"learning_rate": 0.003}, rounds=5)
    with pytest.raises(ChangedMindError, match=r"learning_rate: was 0.02, is now 0.003, from round 4 on"):
        settle(folder)
    said = settle(folder, accept=True)
    assert [folder.at(n).training.learning_rate for n in (0, 3, 4)] == [0.02, 0.02, 0.003]
    assert said[-1] == "rounds: was 3, is now 5"
    assert settle(folder) == ()
    assert [line[18:] for line in changes_of(folder)] == list(said)


def test_a_campaign_that_began_with_adam_goes_on_with_it_unless_its_file_says_otherwise(
    finished: Path,
) -> None:
    """Adam was the only optimiser once, and no file named it."""
    kept = yaml.safe_load((finished / "campaign.yaml").read_text())
    assert kept["training"].pop("optimizer") == "muon"
    silent = finished.parent / "campaign.yaml"
    for file in (finished / "campaign.yaml", silent):
        file.write_text(yaml.safe_dump(kept | {"folder": str(finished.parent)}))
    changes = json.loads((finished / "changes.json").read_text())
    del changes["digest"], changes["now"]["training"]["optimizer"]
    (finished / "changes.json").write_text(json.dumps(changes))

    for source in (silent, finished):
        folder = CampaignFolder.open(source)
        assert folder.config.training.optimizer == "adam"
        assert settle(folder) == ()
    folder.write_config()
    assert CampaignFolder.open(silent).config.training.optimizer == "adam"

    kept["training"]["optimizer"] = "muon"
    silent.write_text(yaml.safe_dump(kept | {"folder": str(finished.parent)}))
    with pytest.raises(ChangedMindError, match=r'optimizer: was "adam", is now "muon", from round 4 on'):
        settle(CampaignFolder.open(silent))
    settle(folder := CampaignFolder.open(silent), accept=True)
    assert [folder.at(n).training.optimizer for n in (0, 3, 4)] == ["adam", "adam", "muon"]


def test_a_campaign_that_began_with_farthest_points_goes_on_with_them_unless_its_file_says_otherwise(
    finished: Path,
) -> None:
    """They were the default once, and the campaign's own file named no strategy."""
    old = {"strategy": "uncertain_and_diverse", "frames_per_round": 2}
    here, own = finished / "campaign.yaml", finished.parent / "campaign.yaml"
    kept = yaml.safe_load(here.read_text()) | {"folder": str(finished.parent)}
    begun = kept | {"selection": old, "arms": {"few": old, "other": old | {"strategy": "random"}}}
    silent = kept | {"selection": {"frames_per_round": 2}, "arms": {"few": {}, "other": {}, "new": {}}}
    here.write_text(yaml.safe_dump(begun))
    own.write_text(yaml.safe_dump(silent))
    config = CampaignFolder.open(own).config
    assert config.selection == UncertainAndDiverse(frames_per_round=2)
    arms = {name: arm.strategy for name, arm in config.arms.items()}
    assert arms == {"few": "uncertain_and_diverse", "other": "kmeans_pp", "new": "kmeans_pp"}

    here.write_text(yaml.safe_dump({**begun, "selection": {"frames_per_round": 2}}))  # before strategies
    assert CampaignFolder.open(own).config.selection == UncertainAndDiverse(frames_per_round=2)
    assert CampaignFolder.open(finished).config.selection == UncertainAndDiverse(frames_per_round=2)

    own.write_text(yaml.safe_dump({**silent, "selection": old | {"strategy": "kmeans_pp"}}))
    assert CampaignFolder.open(own).config.selection == WeightedKMeans(frames_per_round=2)
    here.write_text(yaml.safe_dump({"selection": old}))  # a user's own, which says only what matters
    own.write_text(yaml.safe_dump(silent))
    assert CampaignFolder.open(own).config.selection.strategy == "kmeans_pp"
    here.write_text("selection: [")  # damaged: said where the file itself is read
    assert CampaignFolder.open(own).config.selection.strategy == "kmeans_pp"


def test_changes_of_changes_leave_each_round_its_own(finished: Path) -> None:
    settle(changed(finished, training={"learning_rate": 0.003}, rounds=5), accept=True)
    settle(changed(finished, training={"learning_rate": 0.002}), accept=True)  # nothing was trained since
    (finished / "rounds" / "04" / "train").mkdir(parents=True)
    (finished / "rounds" / "04" / "train" / "manifest.json").write_text("{}")
    folder = changed(finished, training={"learning_rate": 0.001})
    settle(folder, accept=True)
    assert [folder.at(n).training.learning_rate for n in (3, 4, 5)] == [0.02, 0.002, 0.001]


def test_another_number_per_round_counts_for_selections_that_are_to_come(finished: Path) -> None:
    folder = changed(finished, selection={"frames_per_round": 5})
    settle(folder, accept=True)
    numbers = [folder.strategy(folder.round(n)).frames_per_round for n in (2, 3)]
    assert numbers == [folder.at(0).selection.frames_per_round, 5]
    assert numbers[0] != 5


def test_more_test_frames_are_asked_for_with_what_they_cost(finished: Path) -> None:
    folder = changed(finished, test={"frames": 30})
    with pytest.raises(ChangedMindError, match=r"test.frames: was 20, is now 30; 10 labels, about 1 min"):
        settle(folder)


def test_fewer_rounds_are_asked_for_because_a_worse_potential_follows(finished: Path) -> None:
    folder = changed(finished, rounds=1)
    with pytest.raises(ChangedMindError, match=r"is now 1.* from round 1 \(2.* instead of round 3 \(1"):
        settle(folder)
    settle(folder, accept=True)
    assert [result.round for result in folder.results()] == [0, 1]
    assert (finished / "rounds" / "03" / "result.json").exists()


def test_what_concerns_nothing_finished_is_not_asked_for(first_round_only: Path) -> None:
    settle(CampaignFolder.open(first_round_only))
    folder = changed(first_round_only, training={"learning_rate": 0.003}, test={"frames": 30})
    assert settle(folder) == ()
    kept = read_changes(folder.path)
    assert kept is not None
    assert kept.now == json.loads(json.dumps(in_force(folder.config)))


def test_a_new_level_takes_every_labelled_frame_along(finished: Path, lj_frames: Path) -> None:
    old, new = LennardJonesLevel(), LennardJonesLevel(epsilon_eV=0.02)
    frames = read_frames(lj_frames)
    test, initial, found = frames[:2], frames[2:5], frames[5:6]
    content = yaml.safe_load((finished / "campaign.yaml").read_text()) | {"level": old.model_dump()}
    (finished / "campaign.yaml").write_text(yaml.safe_dump(content | {"pretraining": {"method": "none"}}))
    write_frames(finished / "frames" / "test.extxyz", test)
    write_frames(finished / "frames" / "initial.extxyz", initial)
    for path in (finished / "rounds").glob("*/label"):
        shutil.rmtree(path)
    for path, some in ((finished / "labels", [*test, *initial]), (finished / "rounds/00/label", found)):
        path.mkdir(exist_ok=True)
        rows = "".join(f"{frame.id},labelled,0.5\n" for frame in some)
        (path / OUTCOMES_FILE).write_text(f"frame_id,outcome,seconds\n{rows}")
    folder = CampaignFolder.open(finished)
    store = LabelStore(folder.label_store)
    for frame in frames[:6]:
        store.add(frame, compute(frame, old))
    (finished / "changes.json").unlink()
    settle(folder)
    change, asks = pending(changed(finished, level=new.model_dump()))
    assert asks
    assert change is not None
    assert "epsilon_eV was 0.0104, is now 0.02; the 6 frames that have a label" in change.said[0]

    keep_for_anew(folder, old)
    finish_moving(folder, 0)  # it was killed before the change was kept
    assert (finished / "rounds").exists()
    assert not list(folder.earlier.iterdir())
    keep_for_anew(folder, old)
    finish_moving(folder, 1)
    assert not (finished / "rounds").exists()
    assert not (finished / "potential").exists()
    assert folder.taken_over is not None
    assert [f.id for f in read_frames(folder.taken_over)] == [f.id for f in [*initial, *found]]
    earlier = CampaignFolder.open(folder.earlier / "01")
    assert len(LabelStore(earlier.label_store)) == 6
    assert len(earlier.results()) == 4


def test_levels_are_told_apart_by_their_settings() -> None:
    assert what_differs(PySCFLevel(), PySCFLevel(basis="def2-TZVP")) == "basis def2-SVP, not def2-TZVP"
    assert what_differs(PySCFLevel(), PySCFLevel(xc="pbe")) == ""
    assert "PBE/def2-SVP, not Lennard-Jones" in what_differs(PySCFLevel(), LennardJonesLevel())


@pytest.mark.slow
def test_a_campaign_changes_its_mind_and_loses_nothing(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], prefect_url: str
) -> None:
    from flows.campaign.loop import run_campaign

    run_campaign(write_lj_campaign(tmp_path))
    yaml_file = write_lj_campaign(
        tmp_path,
        rounds=2,
        test={"frames": 6, "source": {"method": "displacement", "std_A": 0.15}},
        training={"max_epochs": 16, "checkpoint_every_epochs": 2},
        selection={"strategy": "uncertain_and_diverse", "frames_per_round": 2},
    )
    folder = CampaignFolder.open(yaml_file)
    old_test = [frame.id for frame in read_frames(folder.test_frames)]
    trained = {n: (folder.round(n).train / "manifest.json").stat().st_mtime_ns for n in (0, 1)}
    settle(folder, accept=True)
    run_campaign(yaml_file)
    results = folder.results()
    assert [result.training.epochs for result in results] == [12, 12, 16]
    assert [result.test.n_frames for result in results] == [6, 6, 6]
    assert [frame.id for frame in read_frames(folder.test_frames)][:4] == old_test
    assert results[2].n_labels - results[1].n_labels == 2
    assert {n: (folder.round(n).train / "manifest.json").stat().st_mtime_ns for n in (0, 1)} == trained

    level = LennardJonesLevel(epsilon_eV=0.02)
    content = yaml.safe_load(yaml_file.read_text()) | {"level": level.model_dump(), "rounds": 0}
    yaml_file.write_text(yaml.safe_dump(content))
    folder = CampaignFolder.open(yaml_file)
    settle(folder, accept=True)
    run_campaign(yaml_file)
    (anew,) = folder.results()
    assert anew.n_labels == results[-1].n_labels
    keys = {item.label.level_key for item in LabelStore(folder.label_store)}
    assert len(keys) == 2
