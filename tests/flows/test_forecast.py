"""What a campaign will still take, and what `alnico check` says before anything is paid for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli.app import run_command
from flows.record.folder import CampaignFolder
from flows.record.results import TrainingSummary
from flows.views.forecast import (
    Pace,
    gradient_steps,
    labels_of,
    left,
    pace_of,
    saved_by_ending_early,
    steps_taken,
    time_left,
)
from potential.data.structure_files import write_frames
from potential.training.training_config import TrainingConfig
from tests.support.lj_campaign import EXAMPLE
from tests.support.systems import iron


@pytest.mark.parametrize(
    ("settings", "n_labels", "steps"),
    [
        ({"max_epochs": 10, "batch_size": 5, "validation_fraction": 0.1}, 20, 10 * 4),
        ({"max_epochs": 10, "batch_size": 5, "validation_fraction": 0.0}, 21, 10 * 5),
        ({"max_epochs": 10, "batch_size": 5, "max_steps": 30}, 20, 30),
    ],
)
def test_steps_of_a_training(settings: dict[str, float], n_labels: int, steps: int):
    assert gradient_steps(TrainingConfig.model_validate(settings), n_labels) == steps


def test_what_ending_early_saved():
    training = TrainingConfig(max_epochs=100, batch_size=5, schedule="until_flat")
    facts = {"n_train": 45, "n_validation": 5, "fingerprint": None}
    early = TrainingSummary(epochs=40, seconds=36.0, **facts)
    assert saved_by_ending_early(training, early) == "; flat then, which saved 540 steps, about 54.0 s"
    assert saved_by_ending_early(training, TrainingSummary(epochs=100, seconds=90.0, **facts)) == ""
    out_of_time = training.model_copy(update={"max_seconds": 36.0})
    assert saved_by_ending_early(out_of_time, early) == ""
    assert saved_by_ending_early(out_of_time.model_copy(update={"schedule": "cosine"}), early) == ""


@pytest.mark.parametrize(("max_steps", "steps"), [(None, 40 * 9), (1000, 40 * 9), (355, 355)])
def test_steps_that_a_training_took(max_steps: int | None, steps: int):
    """40 epochs of 45 frames; the last may be cut short."""
    made = TrainingSummary(epochs=40, seconds=36.0, n_train=45, n_validation=5, fingerprint=None)
    assert steps_taken(TrainingConfig(batch_size=5, max_steps=max_steps), made) == steps


def test_all_that_is_left_of_a_campaign_that_has_not_begun(tmp_path: Path, write_lj_campaign):
    folder = CampaignFolder.open(write_lj_campaign(tmp_path, labeling={"workers": 2}))
    config = folder.config
    found = left(folder, Pace(label_s=3.0, step_s=0.5, exploration_s=7.0))
    per_round = config.selection.frames_per_round
    assert found.labels == 6 + 4 + per_round
    assert found.labelling_s == found.labels * 3.0 / 2
    assert found.explorations == 1
    assert labels_of(config, folder.main, 1) == 6 + per_round
    trained = sum(gradient_steps(config.training, n) for n in (6, 6 + per_round))
    assert found.steps == trained
    assert found.seconds == pytest.approx(found.labelling_s + 0.5 * trained + 7.0)


def test_finished_stages_are_not_counted(first_round_only: Path):
    folder = CampaignFolder.open(first_round_only)
    (result,) = folder.results()
    pace = pace_of(folder)
    assert pace is not None
    assert pace.exploration_s == result.explore_seconds
    assert pace.label_s == pytest.approx(5.8)
    whole = left(folder, pace)
    for stage in ("train", "explore", "label"):
        _finish(folder.round(0).train.parent / stage)
    rest = left(folder, pace)
    assert rest.explorations == whole.explorations - 1
    assert rest.labels == whole.labels - folder.config.selection.frames_per_round
    said = time_left(folder)
    assert said is not None
    assert "are left" in said


def test_nothing_is_left_of_a_finished_campaign(finished_campaign: Path):
    _finish(finished_campaign / "potential")
    assert time_left(CampaignFolder.open(finished_campaign)) is None


def test_check_tries_a_label_and_says_what_all_will_take(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    campaign = write_lj_campaign(tmp_path, labeling={"workers": 1})
    assert run_command(["check", str(campaign)]) == 0
    said = capsys.readouterr().out
    assert "Ar7, charge 0, singlet (1 structure); Lennard-Jones" in said
    for line in ("one label ", "one gradient step", "one step of dynamics", "in all ", "memory ", "disk "):
        assert f"\n{line}" in said
    assert not (tmp_path / "campaigns").exists()


def test_check_refuses_what_run_refuses(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    campaign = write_lj_campaign(tmp_path, training={"stress_weight": 1.0})
    assert run_command(["check", str(campaign)]) == 2
    assert "stress" in capsys.readouterr().err


def test_check_says_that_the_teacher_cannot_treat_the_structure(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    write_frames(tmp_path / "iron.xyz", [iron()])
    made = {"frames": 4, "source": {"method": "displacement"}}
    taught = {"frames": 20, "max_steps": 4}
    campaign = write_lj_campaign(tmp_path, initial=made, test=made, pretraining=taught)
    campaign.write_text(campaign.read_text().replace(str(EXAMPLE.parent / "argon7.xyz"), "iron.xyz"))
    assert run_command(["check", str(campaign)]) != 0
    said = capsys.readouterr().err
    assert "cannot treat Fe6 (charge +0, spin 0): SCF not converged" in said
    assert "pretraining: off" in said


def _finish(stage: Path) -> None:
    """As a stage without inputs and outputs would leave it."""
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "manifest.json").write_text(json.dumps({"inputs": {}, "outputs": {}}))
