"""Stages are done once, redone when half done, and never built on from other inputs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from exploration.dynamics.npt import NPT
from exploration.settings import ExplorationConfig
from flows.errors import StageChangedError
from flows.record.stage_inputs import Settings
from flows.record.stages import Stage, is_finished, is_started, read_manifest
from potential.data.config import Config

STAGE = Stage(name="train", title="training", inputs=("model", "seed"), outputs=("whole.txt",))
GOES_ON = replace(STAGE, half_done="go on")
GATHERS = replace(STAGE, changed="make anew")
INPUTS = {"model": {"r_max": 5.0, "l_max": 1}, "seed": 1}


class Work:
    """Writes a file, counts how often, and fails at will."""

    def __init__(self) -> None:
        self.runs = 0
        self.fail = False
        self.found: list[str] = []

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        self.found = sorted(path.name for path in folder.iterdir())
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / "half.txt").write_text("half")
        if self.fail:
            raise RuntimeError("killed")
        (folder / "whole.txt").write_text(f"run {self.runs}")


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return tmp_path / "rounds" / "01" / "train"


def test_a_finished_stage_is_skipped(stage: Path, work: Work):
    first = STAGE.run(stage, INPUTS, work)
    assert STAGE.run(stage, INPUTS, work) == first
    assert work.runs == 1
    assert set(first.outputs) == {"whole.txt", "deep/half.txt"}
    assert is_finished(stage)
    assert not is_started(stage)


def test_a_half_done_stage_begins_anew(stage: Path, work: Work):
    work.fail = True
    with pytest.raises(RuntimeError):
        STAGE.run(stage, INPUTS, work)
    assert is_started(stage)
    assert read_manifest(stage) is None
    work.fail = False
    STAGE.run(stage, INPUTS, work)
    assert work.found == ["started.json"]


def test_a_stage_with_checkpoints_keeps_what_it_has(stage: Path, work: Work):
    work.fail = True
    with pytest.raises(RuntimeError):
        GOES_ON.run(stage, INPUTS, work)
    with pytest.raises(RuntimeError):
        GOES_ON.run(stage, INPUTS, work)
    assert "deep" in work.found
    with pytest.raises(RuntimeError):  # but not for other inputs
        GOES_ON.run(stage, INPUTS | {"seed": 2}, work)
    assert work.found == ["started.json"]


def test_other_inputs_are_refused_by_key_and_value(stage: Path, work: Work):
    STAGE.run(stage, INPUTS, work)
    with pytest.raises(StageChangedError) as caught:
        STAGE.run(stage, {"model": {"r_max": 6.0, "l_max": 1}, "seed": 1}, work)
    message = str(caught.value)
    assert "model.r_max: was 5.0, is now 6.0" in message
    assert "l_max" not in message
    assert f"delete {stage.parent} and the rounds after it" in message
    assert work.runs == 1


def test_of_many_other_inputs_some_are_shown(stage: Path, work: Work):
    teach = stage.parents[2] / "pretraining" / "teach"
    STAGE.run(teach, INPUTS, work)
    with pytest.raises(StageChangedError, match="and 14 more") as caught:
        STAGE.run(teach, {"model": dict.fromkeys("abcdefghijklmnopqrs", 1), "seed": 2}, work)
    assert f"delete {teach} and {stage.parents[1]}\n" in str(caught.value)


def test_a_stage_that_gathers_is_redone_for_other_inputs(stage: Path, work: Work):
    GATHERS.run(stage, INPUTS, work)
    GATHERS.run(stage, INPUTS | {"seed": 2}, work)
    assert work.runs == 2
    assert json.loads((stage / "manifest.json").read_text())["inputs"]["seed"] == 2


def test_a_lost_output_is_made_again(stage: Path, work: Work):
    STAGE.run(stage, INPUTS, work)
    (stage / "whole.txt").unlink()
    STAGE.run(stage, INPUTS, work)
    assert (stage / "whole.txt").read_text() == "run 2"
    (stage / "whole.txt").unlink()
    (stage / "whole.txt").mkdir()
    STAGE.run(stage, INPUTS, work)
    assert (stage / "whole.txt").read_text() == "run 3"


def test_an_altered_output_is_refused(stage: Path, work: Work):
    STAGE.run(stage, INPUTS, work)
    (stage / "whole.txt").write_text("edited")
    with pytest.raises(StageChangedError, match=r"whole\.txt is not what its stage wrote"):
        STAGE.run(stage, INPUTS, work)
    assert (stage / "whole.txt").read_text() == "edited"


class Knobs(Config):
    size: int
    device: str = "cpu"


class MoreKnobs(Knobs):
    """The next version has a field more."""

    colour: str = "red"


def test_a_setting_that_came_later_had_its_default(stage: Path, work: Work):
    def inputs(knobs: Knobs) -> dict[str, object]:
        return {"model": Settings(knobs, frozenset({"device"})), "seed": 1}

    STAGE.run(stage, inputs(Knobs(size=3)), work)
    STAGE.run(stage, inputs(MoreKnobs(size=3, device="cuda")), work)
    assert work.runs == 1
    with pytest.raises(StageChangedError, match=r'model\.colour: was "red", is now "blue"'):
        STAGE.run(stage, inputs(MoreKnobs(size=3, colour="blue")), work)
    with pytest.raises(StageChangedError, match=r"model\.size: was 3, is now 4"):
        STAGE.run(stage, inputs(MoreKnobs(size=4)), work)


class Files(Config):
    """Settings that name files."""

    size: int
    files: tuple[Path, ...]
    by_name: dict[str, Path]


def test_files_that_moved_with_their_campaign_are_the_same(stage: Path, work: Work):
    def inputs(folder: Path, name: str = "a.xyz") -> dict[str, object]:
        files = Files(size=3, files=(folder / name,), by_name={"b": folder / "b.xyz"})
        return {"model": Settings(files), "seed": 1}

    STAGE.run(stage, inputs(Path("/old")), work)
    manifest = json.loads((stage / "manifest.json").read_text())
    del manifest["digest"]  # older versions wrote none
    for kept in ("a.xyz", "/old/a.xyz"):  # today's, and what older versions wrote
        manifest["inputs"]["model"]["files"] = [kept]
        (stage / "manifest.json").write_text(json.dumps(manifest))
        STAGE.run(stage, inputs(Path("/new")), work)
    assert work.runs == 1
    with pytest.raises(StageChangedError, match=r"c\.xyz"):
        STAGE.run(stage, inputs(Path("/old"), "c.xyz"), work)


@pytest.mark.parametrize(("friction_per_fs", "scheme"), [(0.02, "langevin"), (0.0, "nve")])
def test_an_exploration_from_before_there_were_ensembles_goes_on(
    stage: Path, work: Work, friction_per_fs: float, scheme: str
):
    """A manifest that says friction_per_fs beside timestep_fs means today's ensemble."""
    explore = replace(STAGE, inputs=("exploration",))
    old = ExplorationConfig().model_dump(mode="json", exclude={"ensemble", "max_volume_factor"})
    explore.run(stage, {"exploration": old | {"friction_per_fs": friction_per_fs}}, work)
    now = ExplorationConfig.model_validate(old | {"friction_per_fs": friction_per_fs})
    assert now.ensemble.scheme == scheme
    explore.run(stage, {"exploration": Settings(now)}, work)
    assert work.runs == 1
    with pytest.raises(StageChangedError, match=r"exploration\.ensemble\.scheme"):
        explore.run(stage, {"exploration": Settings(now.model_copy(update={"ensemble": NPT()}))}, work)


def test_an_input_that_came_later_was_nothing_before(stage: Path, work: Work):
    STAGE.run(stage, INPUTS, work)
    more = replace(STAGE, inputs=("model", "seed", "calibration"), later={"calibration": None})
    more.run(stage, INPUTS | {"calibration": None}, work)
    assert work.runs == 1
    with pytest.raises(StageChangedError, match=r"calibration: was null, is now 3"):
        more.run(stage, INPUTS | {"calibration": 3}, work)


def test_a_stage_that_does_not_leave_what_it_declares_is_not_finished(stage: Path):
    with pytest.raises(AssertionError, match=r"has not made \{'whole\.txt'\}"):
        STAGE.run(stage, INPUTS, lambda folder: None)
    assert not is_finished(stage)
