"""The gate before the labels: a real campaign stops, is approved, cut or rejected, and goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image
from prefect import flow
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from exploration.selection import Selection
from flows.campaign.loop import run_campaign
from flows.cli.app import run_command
from flows.deployments.review import campaign_review
from flows.errors import DamagedFileError
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.review import awaited, blocked, read_decision, read_request
from flows.record.rounds import read_outcomes
from flows.record.stages import is_finished, is_started
from flows.settings.review_config import ReviewConfig
from flows.steps.review import approved_frames
from labeling.store import LabelStore
from potential.data.structure_files import read_frames

Writer = Callable[..., Path]
Said = pytest.CaptureFixture[str]

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("prefect_url", "one_mlflow_store")]

STEP = """
import sys
from flows.deployments.step import campaign_step
state = campaign_step("lj.yaml", return_state=True)
heavy = sorted({"torch", "mlflow", "matplotlib"} & sys.modules.keys())
print(state.type.value, state.name, state.message, heavy, sep=" | ")
"""


@pytest.fixture(scope="module")
def at_the_gate(
    tmp_path_factory: pytest.TempPathFactory, write_lj_campaign: Writer, prefect_url: str
) -> Path:
    """The folder of a YAML file whose campaign has stopped for its first review; shared, to be read."""
    folder = tmp_path_factory.mktemp("gate")
    asked = {"review": "before_labels", "stop": {"price_per_hour": 3600.0}}
    run_campaign(write_lj_campaign(folder, **asked))
    return folder


@pytest.fixture
def mine(at_the_gate: Path, tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
    shutil.copytree(at_the_gate, tmp_path / "copy")
    CampaignFolder.open(tmp_path / "copy" / "lj.yaml").write_config()  # paths are another folder's
    return tmp_path / "copy" / "lj.yaml"


def change(file: Path, **changes: object) -> None:
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def selected(folder: CampaignFolder) -> list[str]:
    return [frame.id for frame in read_frames(folder.round(0).select / "selected.extxyz")]


def labelled(folder: CampaignFolder) -> list[str]:
    return list(read_outcomes(folder.round(0).outcomes)["frame_id"])


def test_it_stops_with_table_picture_and_cost_and_labels_nothing(at_the_gate: Path) -> None:
    folder = CampaignFolder.open(at_the_gate / "lj.yaml")
    ((here, request),) = awaited(folder)
    assert blocked(folder) == [(here, request)]
    assert list(request.frames) == selected(folder) != []
    table = pd.read_csv(here.review / "frames.csv", dtype={"frame_id": str})
    assert list(table["frame_id"]) == selected(folder)
    assert set(table["formula"]) == {"Ar7"}
    with Image.open(here.review / "picture.png") as picture:
        assert len(picture.convert("L").getcolors() or []) > 10  # something is drawn
    spent = read_outcomes(folder.first_labels / "outcomes.csv")["seconds"]
    assert request.seconds_per_label == pytest.approx(spent.mean())
    assert request.price == pytest.approx(len(request.frames) * spent.mean())
    assert is_started(here.review)
    assert not here.label.exists()
    assert len(LabelStore(folder.label_store)) == 10  # initial and test
    assert not folder.potential.exists()
    assert not [p for p in here.review.iterdir() if p.suffix in (".pkl", ".pickle")]


def test_prefect_shows_what_is_to_be_decided(at_the_gate: Path) -> None:
    folder = CampaignFolder.open(at_the_gate / "lj.yaml")
    with get_client(sync_client=True) as client:
        shown = [a for a in client.read_artifacts() if a.key == "lj-review"]
        (artifact,) = [a for a in shown if f"alnico review {folder.path}" in str(a.data)]
        runs = [run for run in client.read_flow_runs() if run.id == artifact.flow_run_id]
    said = str(artifact.data)
    assert all(frame[:8] in said for frame in selected(folder))
    assert "of computing" in said
    assert "](data:image/png;base64," in said
    assert [run.state_name for run in runs] == ["Waiting for review"]
    assert runs[0].state.is_completed()


def test_a_scheduled_step_waits_without_torch(mine: Path, prefect_url: str) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_url}
    command = [sys.executable, "-c", STEP]
    done = subprocess.run(
        command, cwd=mine.parent, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    kind, name, said, heavy = done.stdout.splitlines()[-1].split(" | ")
    assert (kind, name, heavy) == ("COMPLETED", "Waiting for review", "[]")
    assert said.startswith("round 0 waits since ")


def test_the_one_shot_run_says_so_and_ends_with_its_own_code(mine: Path, capsys: Said) -> None:
    assert run_command(["run", str(mine)]) == 3
    said = capsys.readouterr().err
    folder = CampaignFolder.open(mine)
    n = len(selected(folder))
    assert f"for a review of its {n} frames" in said
    assert f"`alnico review {folder.path}`" in said
    assert run_command(["status", str(mine)]) == 0
    assert "round 0 waits since" in " ".join(capsys.readouterr().out.split())


def test_approved_it_labels_all_and_ends(mine: Path, capsys: Said) -> None:
    folder = CampaignFolder.open(mine)
    assert run_command(["review", str(mine)]) == 0
    shown = capsys.readouterr().out
    assert all(frame[:8] in shown for frame in selected(folder))
    assert f"alnico review {mine} --approve" in shown
    assert run_command(["review", str(mine), "--approve"]) == 0
    assert "will be labelled" in capsys.readouterr().out
    assert awaited(folder) == []
    assert run_command(["run", str(mine)]) == 0
    assert labelled(folder) == selected(folder)
    assert is_finished(folder.round(0).review)
    assert ending(folder) == "round 1, its last, is done"
    assert run_command(["review", str(mine), "--reject"]) == 2
    assert "no selection of lj waits for a review" in capsys.readouterr().err


@pytest.mark.slow
def test_frames_that_were_dropped_are_not_labelled(mine: Path, capsys: Said) -> None:
    folder = CampaignFolder.open(mine)
    first, *rest = selected(folder)
    assert run_command(["review", str(mine), "--drop", "zzz"]) == 2
    assert "drop 'zzz': is no selected frame" in capsys.readouterr().err
    assert run_command(["review", str(mine), "--drop", first[:8]]) == 0
    run_campaign(mine)
    assert f"(alnico review): 1 of {len(rest) + 1} frames are dropped" in capsys.readouterr().out
    assert labelled(folder) == rest
    assert folder.results()[0].selection.n_dropped == 1
    change(mine, review=None)  # a decision that was taken up stays one
    run_campaign(mine)
    assert labelled(folder) == rest


@pytest.mark.slow
def test_rejected_it_ends_and_publishes_what_it_has(mine: Path) -> None:
    folder = CampaignFolder.open(mine)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(mine.parent)
        state = campaign_review("lj.yaml", "reject", return_state=True)
    assert f"round 0: 0 of {len(selected(folder))} frames will be labelled" in str(state.message)
    run_campaign(mine)
    assert ending(folder) == "round 0: its selection was rejected in review"
    assert not folder.round(0).label.exists()
    assert is_finished(folder.potential)
    assert len(LabelStore(folder.label_store)) == 10
    run_campaign(mine)  # and it stays ended
    assert [result.round for result in folder.results()] == [0]


@pytest.mark.parametrize("then", ["approve", "reject"])
def test_nobody_answers_in_time(then: str, mine: Path) -> None:
    change(mine, review={"time_out_hours": 48, "then": then})
    folder = CampaignFolder.open(mine)
    folder.write_config()
    assert len(blocked(folder)) == 1  # not yet
    asked = folder.round(0).review / "request.json"
    long_ago = {"asked_at": (datetime.now(UTC) - timedelta(hours=49)).isoformat()}
    asked.write_text(json.dumps(json.loads(asked.read_text()) | long_ago))
    assert awaited(folder) == []
    here = folder.round(0)
    selection = Selection.load(here.select)

    @flow(persist_result=False)
    def decided() -> list[str]:
        return [frame.id for frame in approved_frames(folder, here, selection, seconds_per_label=1.0)]

    assert decided() == (selected(folder) if then == "approve" else [])
    assert is_finished(here.review)
    assert read_decision(here, read_request(here)).by == "time-out"


def test_a_kill_while_it_asks_costs_nothing(mine: Path) -> None:
    """The request is written last, so without it everything is shown again; the selection is the same."""
    folder = CampaignFolder.open(mine)
    before, review = selected(folder), folder.round(0).review
    for name in ("request.json", "picture.png"):
        (review / name).unlink()
    assert awaited(folder) == blocked(folder) == []
    run_campaign(mine)
    ((_, request),) = awaited(folder)
    assert list(request.frames) == before == selected(folder)
    assert (review / "picture.png").exists()


def test_a_decision_on_other_frames_or_a_damaged_one_is_none(mine: Path) -> None:
    folder = CampaignFolder.open(mine)
    ((here, request),) = awaited(folder)
    at = datetime.now(UTC).isoformat()
    other = {"label": ["0" * 16], "dropped": [], "by": "alnico review", "at": at}
    (here.review / "decision.json").write_text(json.dumps(other))
    assert read_decision(here, request) is None
    assert len(blocked(folder)) == 1
    (here.review / "decision.json").write_text("{")
    with pytest.raises(DamagedFileError, match="delete it"):
        awaited(folder)


def test_switched_off_it_no_longer_waits(mine: Path) -> None:
    change(mine, review="off")
    folder = CampaignFolder.open(mine)
    assert awaited(folder) == blocked(folder) == []


@pytest.mark.slow
def test_arms_wait_each_for_itself(tmp_path: Path, write_lj_campaign: Writer, capsys: Said) -> None:
    path = write_lj_campaign(
        tmp_path, review="before_labels", arms={"chance": {"strategy": "random", "frames_per_round": 2}}
    )
    folder = run_campaign(path)
    assert [here.arm.name for here, _ in blocked(folder)] == ["active", "chance"]
    assert run_command(["review", str(path), "--approve", "--arm", "chance"]) == 0
    assert [here.arm.name for here, _ in awaited(folder)] == ["active"]
    assert blocked(folder) == []  # the arm can go on
    run_campaign(path)
    main, chance = folder.arms
    assert [result.round for result in chance.results()] == [0, 1]
    assert main.results() == []
    assert [here.arm.name for here, _ in blocked(folder)] == ["active"]
    assert run_command(["review", str(path), "--approve"]) == 0
    run_campaign(path)
    assert ending(folder) is not None


def test_a_time_out_needs_its_consequence() -> None:
    assert ReviewConfig(time_out_hours=2.0, then="approve").time_out_hours == 2.0
    with pytest.raises(ValidationError, match="a time-out is two settings"):
        ReviewConfig(time_out_hours=2.0)
