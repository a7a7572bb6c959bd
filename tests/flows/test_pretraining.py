"""Pretraining in a campaign: a teacher close to the level of theory, once for all rounds and arms."""

import shutil
from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from exploration import teacher_md
from exploration.teacher_md import Walk, Walked
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.pretraining_results import GuardSummary, PretrainSummary, TeachSummary
from flows.record.stages import read_manifest
from flows.settings.campaign_config import CampaignConfig
from flows.settings.pretraining import FromPotential, FromTeacher, NoPretraining
from flows.settings.yaml_file import load_config
from flows.steps import pretrain as step
from flows.steps import teacher
from flows.steps.train import Pretrained
from labeling.lennard_jones import compute
from labeling.store import LabelStore
from potential.data.dataset import Dataset, LabelledFrame
from potential.data.frame import Frame
from potential.nequip.model import NequIP
from potential.package import load_potential, save_potential
from tests.support.argon import LEVEL

Writer = Callable[..., Path]

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("prefect_url", "one_mlflow_store")]

# The example's argon with a well a fifth deeper: the teacher is wrong in a way that labels can mend.
TEACHER = {
    "teacher": {
        "labeler": "ase",
        "calculator": "ase.calculators.lj.LennardJones",
        "parameters": {"sigma": 3.4, "epsilon": 0.0125, "rc": 8.0, "smooth": True},
    },
    "frames": 80,
    "dynamics": {"temperatures_K": [30.0, 80.0], "walkers": 2, "timestep_fs": 5.0, "spacing_fs": 50.0},
    "max_steps": 500,
}
BEGUN = {"training": {"max_epochs": 4}, "arms": {"random": {"strategy": "random"}}}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, write_lj_campaign: Writer, prefect_url: str) -> Path:
    from flows.campaign.loop import run_campaign

    path = write_lj_campaign(tmp_path_factory.mktemp("taught"), pretraining=TEACHER, **BEGUN)
    run_campaign(path)
    return path


def test_a_committee_that_was_taught_begins_better(
    taught: Path, tmp_path: Path, write_lj_campaign: Writer
) -> None:
    from flows.campaign.loop import run_campaign

    scratch = run_campaign(write_lj_campaign(tmp_path, pretraining=False, rounds=0, **BEGUN))
    with_teacher = CampaignFolder.open(taught).results()[0]
    assert with_teacher.test.force_mae < 0.6 * scratch.results()[0].test.force_mae
    assert not scratch.pretrain.exists()


def test_it_is_done_once_for_all_rounds_and_arms(taught: Path) -> None:
    folder = CampaignFolder.open(taught)
    manifest = read_manifest(folder.pretrain)
    assert manifest is not None
    weights = manifest.outputs["potential/weights.safetensors"]
    trainings = sorted(folder.path.rglob("train/manifest.json"))
    assert len(trainings) == 3  # round 0, shared, and round 1 of each arm
    for path in trainings:
        made = read_manifest(path.parent)
        assert made is not None
        assert made.inputs["warm_start"] == weights
        training = made.inputs["training"]
        assert isinstance(training, dict)
        assert training["learning_rate"] == FromTeacher().fine_tuning_rate


def test_the_teachers_labels_have_a_store_and_a_level_of_their_own(taught: Path) -> None:
    folder = CampaignFolder.open(taught)
    source = folder.config.pretraining
    assert isinstance(source, FromTeacher)
    with LabelStore(folder.teach / "teacher.db") as teachers, LabelStore(folder.label_store) as ours:
        assert teachers.levels() == [source.teacher.key]
        assert ours.levels() == [folder.config.level.key]
        assert len(teachers) == 80


def test_what_it_cost_and_how_good_the_teaching_was_is_kept(taught: Path) -> None:
    folder = CampaignFolder.open(taught)
    teach = TeachSummary.model_validate_json((folder.teach / "summary.json").read_text())
    learned = PretrainSummary.model_validate_json((folder.pretrain / "summary.json").read_text())
    assert (teach.n_frames, teach.n_walks, teach.broken) == (80, 4, ())
    assert (learned.n_train, learned.n_held_out, learned.steps) == (76, 4, 500)
    assert learned.seconds > 0
    assert learned.force_mae is not None
    assert 0 < learned.force_mae < 0.02


def test_a_second_run_redoes_nothing(taught: Path) -> None:
    from flows.campaign.loop import run_campaign

    folder = CampaignFolder.open(taught)
    before = {p: p.stat().st_mtime_ns for p in folder.path.glob("pretraining/*/*") if p.is_file()}
    run_campaign(taught)
    assert {p: p.stat().st_mtime_ns for p in folder.path.glob("pretraining/*/*") if p.is_file()} == before


def test_walks_that_are_in_the_store_are_not_walked_again(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: two walks are stored, the stage is not finished."""
    copy = tmp_path / "lj"
    shutil.copytree(CampaignFolder.open(taught).path, copy)
    folder = CampaignFolder.open(copy)
    source = folder.config.pretraining
    assert isinstance(source, FromTeacher)
    complete = teacher.taught(folder.teach)[0]
    shutil.rmtree(folder.teach)
    structures = folder.config.structure.frames()
    walked: list[int] = []
    real = teacher_md.walk

    def stops_after_two(begin: Frame, here: Walk, *rest: Any, **named: Any) -> Walked:
        if len(walked) == 2:
            raise KeyboardInterrupt
        return noted(begin, here, *rest, **named)

    def noted(begin: Frame, here: Walk, *rest: Any, **named: Any) -> Walked:
        walked.append(here.number)
        return real(begin, here, *rest, **named)

    @flow(persist_result=False)
    def teach() -> str:
        made = step.teach(folder, source, structures)
        return made.fingerprint

    monkeypatch.setattr(teacher, "available_cores", lambda: 1)
    monkeypatch.setattr(teacher, "walk", stops_after_two)
    with pytest.raises(KeyboardInterrupt):
        teach()
    monkeypatch.setattr(teacher, "walk", noted)
    assert teach() == complete.fingerprint
    assert walked == [0, 1, 2, 3]
    summary = TeachSummary.model_validate_json((folder.teach / "summary.json").read_text())
    with LabelStore(folder.teach / "teacher.db") as store:
        seconds = [item.label.provenance["seconds"] for item in store]
    assert len(seconds) == 80
    assert min(seconds) > 0
    assert summary.seconds == pytest.approx(sum(seconds))  # what was spent before the kill counts, too


@pytest.mark.slow
def test_another_campaign_begins_from_its_weights(
    taught: Path, tmp_path: Path, write_lj_campaign: Writer
) -> None:
    from flows.campaign.loop import run_campaign

    theirs = CampaignFolder.open(taught)
    given = {"from": str(theirs.pretrain / "potential")}
    path = write_lj_campaign(tmp_path, pretraining=given | {"guard": True}, rounds=0, **BEGUN)
    folder = run_campaign(path)
    compared = GuardSummary.model_validate_json((folder.guard / "summary.json").read_text())
    assert compared.keep
    assert compared.pretrained < 0.8 * compared.scratch
    assert folder.results()[0].test.force_mae == pytest.approx(theirs.results()[0].test.force_mae, rel=1e-6)
    ours = folder.pretrain / "potential" / "weights.safetensors"  # a copy, for theirs may go away
    assert ours.read_bytes() == (theirs.pretrain / "potential" / "weights.safetensors").read_bytes()


def test_one_label_is_too_few_to_compare_on(
    tmp_path: Path, write_lj_campaign: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = CampaignFolder.of(load_config(write_lj_campaign(tmp_path)))
    begun = Pretrained(potential=tmp_path, elements=(18,), fine_tuning_rate=0.005)
    frame = folder.config.structure.frames()[0]
    one = Dataset.of([LabelledFrame(frame=frame, label=compute(frame, LEVEL))])
    assert unwrap(step.is_worth_it)(folder, begun, one)
    assert "1 label is too few to compare it on" in capsys.readouterr().out
    assert not folder.guard.exists()


def test_the_potential_it_began_from_may_go(tmp_path: Path, write_lj_campaign: Writer) -> None:
    given = write_lj_campaign(tmp_path, pretraining={"from": str(tmp_path / "theirs")})
    folder = CampaignFolder.of(load_config(given))
    model = NequIP(folder.config.model, [18], avg_num_neighbors=5.0)
    save_potential(tmp_path / "theirs", model, {})
    source = FromPotential(path=tmp_path / "theirs")
    for elements in ([18], [18]):
        unwrap(step.take_over_weights)(folder, source, elements)
        shutil.rmtree(tmp_path / "theirs", ignore_errors=True)
    assert load_potential(folder.pretrain / "potential").numbers.tolist() == [18]


def test_weights_of_another_architecture_are_refused(
    taught: Path, tmp_path: Path, write_lj_campaign: Writer
) -> None:
    from flows.campaign.loop import run_campaign

    given = {"from": str(CampaignFolder.open(taught).pretrain / "potential")}
    model = load_potential(CampaignFolder.open(taught).pretrain / "potential").config
    other = model.model_copy(update={"num_features": 8}).model_dump()
    with pytest.raises(CampaignError, match=r"num_features is \d+ there, 8 here"):
        run_campaign(write_lj_campaign(tmp_path, pretraining=given, rounds=0, model=other))


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (False, NoPretraining()),
        ("off", NoPretraining()),
        (None, NoPretraining()),
        (True, FromTeacher()),
        ({"frames": 40}, FromTeacher(frames=40)),
        ({"from": "/a/potential"}, FromPotential(path=Path("/a/potential"))),
    ],
)
def test_the_short_forms(written: object, means: object, campaign_config: CampaignConfig) -> None:
    given = campaign_config.model_dump() | {"pretraining": written}
    assert CampaignConfig.model_validate(given).pretraining == means


def test_auto_is_for_dft_labels_of_molecules(
    campaign_config: CampaignConfig, tmp_path: Path, write_lj_campaign: Writer
) -> None:
    ethanol = CampaignFolder(tmp_path / "ethanol", campaign_config)
    assert step.source_of(ethanol, campaign_config.structure.frames()) == FromTeacher()
    argon = CampaignFolder.of(load_config(write_lj_campaign(tmp_path)))
    assert step.source_of(argon, argon.config.structure.frames()) == NoPretraining()


def test_a_campaign_that_began_without_goes_on_without(
    campaign_config: CampaignConfig, tmp_path: Path
) -> None:
    folder = CampaignFolder(tmp_path / "ethanol", campaign_config)
    folder.round(0).train.mkdir(parents=True)
    assert step.source_of(folder, campaign_config.structure.frames()) == NoPretraining()
