"""What a schedule runs: some rounds a run, nothing once it has ended, one run at a time."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from prefect import State
from prefect.exceptions import ParameterTypeError

from flows.deployments.champion import champion_check
from flows.deployments.parameters import below_working_folder
from flows.deployments.step import BUSY, NOTHING_TO_DO, campaign_step
from flows.errors import ConfigError
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.views.summary import champion_round
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.structure_files import read_frames
from tests.support.lj_campaign import change, copy_of, told, write_whole_campaign

Writer = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("prefect_url", "one_mlflow_store")

NO_TORCH = """
import sys
from flows.deployments.step import campaign_step
state = campaign_step("lj.yaml", return_state=True)
print(state.name, "|", state.message, "|", sorted({"torch", "mlflow"} & sys.modules.keys()))
"""
HOLD = """
import sys, time
from pathlib import Path
from flows.record.lock import campaign_lock
with campaign_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def step_in(folder: Path, rounds_per_run: int = 1) -> State[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        state = campaign_step("lj.yaml", rounds_per_run, return_state=True)
        assert isinstance(state, State)
        return state


def test_each_run_says_how_far_the_campaign_is(whole_campaign: Path) -> None:
    first, second, third = told(whole_campaign).steps
    assert {step.type for step in (first, second, third)} == {"COMPLETED"}
    assert first.message.startswith("1 of 2 rounds are done. The next run goes on.")
    assert second.message.startswith("2 of 2 rounds are done. It has ended. The force error")
    assert (third.name, third.message) == (
        NOTHING_TO_DO,
        "The campaign has ended: round 1, its last, is done.",
    )
    assert [step.mlflow for step in (first, second, third)] == ["SCHEDULED", "FINISHED", "FINISHED"]


def test_a_run_leaves_its_round_and_the_report(whole_campaign: Path) -> None:
    first, second, third = told(whole_campaign).steps
    assert {"rounds/00/result.json", "rounds/00/label/manifest.json", "report.html"} <= set(first.files)
    assert not [file for file in first.files if file.startswith(("rounds/01", "potential"))]
    assert "potential/manifest.json" in second.files
    assert third.files == second.files
    assert third.tasks == ()


def files_of(campaign: CampaignFolder) -> set[Path]:
    """Those that both have, however many runs it took."""
    files = {path.relative_to(campaign.path) for path in campaign.path.rglob("*") if path.is_file()}
    return {path for path in files if path.parts[0] != campaign.logs.name}


def test_each_run_leaves_its_log(whole_campaign: Path) -> None:
    first, second = sorted(CampaignFolder.open(whole_campaign / "lj.yaml").logs.glob("*.log"))
    assert "round 0: 5 labels" in first.read_text()
    assert "Finished in state Completed" in first.read_text()
    assert "round 1: " in second.read_text()


def test_the_champion_is_what_its_card_says_or_not(
    whole_campaign: Path, tmp_path: Path, prefect_url: str
) -> None:
    path = copy_of(whole_campaign, tmp_path)
    folder, campaign = path.parent, CampaignFolder.open(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        same = champion_check("lj.yaml", return_state=True)
        store, level = LabelStore(campaign.label_store), campaign.config.level
        assert isinstance(level, LennardJonesLevel)
        (start,) = campaign.config.structure.frames()
        start = start.moved(1.03 * start.positions)
        store.add(start, compute(start, level))  # another campaign's, in a store that they share
        more = champion_check("lj.yaml", return_state=True)
        card = json.loads(campaign.model_card.read_text())
        card["test errors"]["force MAE, meV/Å"] *= 1.01
        campaign.model_card.write_text(json.dumps(card))
        other = champion_check("lj.yaml", return_state=True)
        shutil.rmtree(campaign.potential)
        none = champion_check("lj.yaml", return_state=True)
    assert str(same.message).startswith("As its card says. frozen test set: ")
    assert n_unseen(more) == n_unseen(same) + 1
    assert (other.type, other.name) == ("FAILED", "Champion changed")
    kept = json.loads(campaign.tracking.read_text())
    logged = MlflowClient(kept["tracking_uri"]).get_run(kept["run_ids"]["campaign"]).data.metrics
    said = 1000 * champion_round(campaign.results()).test.force_mae
    assert logged["9 champion/check_test_mae_meV_per_A"] == pytest.approx(said, rel=1e-3)
    assert logged["9 champion/check_unseen_mae_meV_per_A"] > 0
    assert (none.type, none.name) == ("COMPLETED", NOTHING_TO_DO)


def n_unseen(state: State[Any]) -> int:
    found = re.search(r"labels it has not seen: [0-9.]+ meV/Å of ([0-9]+)", str(state.message))
    return int(found[1]) if found else 0


@pytest.mark.slow
def test_round_by_round_leaves_what_one_run_leaves(whole_campaign: Path, tmp_path: Path) -> None:
    whole = CampaignFolder.open(write_whole_campaign(tmp_path))
    assert "2 of 2 rounds are done. It has ended." in str(step_in(tmp_path, 5).message)
    by_steps = CampaignFolder.open(whole_campaign / "lj.yaml")
    assert files_of(whole) == files_of(by_steps)
    for number in (0, 1):
        mine, theirs = whole.round(number).potential, by_steps.round(number).potential
        assert (mine / "weights.safetensors").read_bytes() == (theirs / "weights.safetensors").read_bytes()
    for one, other in zip(whole.results(), by_steps.results(), strict=True):
        assert (one.n_labels, one.evaluation, one.ledger) == (other.n_labels, other.evaluation, other.ledger)
    picked = [
        [frame.id for frame in read_frames(folder.round(0).select / "selected.extxyz")]
        for folder in (whole, by_steps)
    ]
    assert picked[0] == picked[1] != []
    labels = [sorted(item.frame.id for item in LabelStore(f.label_store)) for f in (whole, by_steps)]
    assert labels[0] == labels[1]
    roots = (tmp_path, whole_campaign)
    cards = [
        folder.model_card.read_text().replace(str(root), "")
        for folder, root in zip((whole, by_steps), roots, strict=True)
    ]
    assert cards[0] == cards[1]


def test_nothing_to_do_is_said_before_torch_is_imported(
    whole_campaign: Path, tmp_path: Path, prefect_url: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH],
        cwd=copy_of(whole_campaign, tmp_path).parent,
        env={**os.environ, "PREFECT_API_URL": prefect_url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == "Nothing to do | The campaign has ended: round 1, its last, is done. | []"


def test_a_second_run_ends_as_busy(whole_campaign: Path, tmp_path: Path) -> None:
    path = copy_of(whole_campaign, tmp_path)
    folder = CampaignFolder.open(path).path
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            state = step_in(path.parent)
        finally:
            other.kill()
    assert state.is_completed()
    assert state.name == BUSY
    assert f"is in use by process {other.pid}" in str(state.message)
    assert step_in(path.parent).name == NOTHING_TO_DO


@pytest.mark.parametrize("campaign", ["../lj.yaml", "/etc/hostname", "a/../../lj.yaml"])
def test_a_path_out_of_the_working_folder_is_refused(
    campaign: str, tmp_path: Path, write_lj_campaign: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lj_campaign(tmp_path)
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    state = campaign_step(campaign, return_state=True)
    assert isinstance(state, State)
    assert state.is_failed()
    assert f"leads out of the working folder {tmp_path / 'root'}" in str(state.message)
    assert not (tmp_path / "campaigns").exists()


@pytest.mark.parametrize("rounds", [True, 0, -3, 1.5, "2"])
def test_a_number_of_rounds_that_is_none_is_refused_by_name(rounds: object) -> None:
    with pytest.raises(ParameterTypeError, match="rounds_per_run"):
        campaign_step.validate_parameters({"campaign": "lj.yaml", "rounds_per_run": rounds})


@pytest.mark.parametrize("campaign", ["\ud800.yaml", "a\udc80", "a\0b", "x" * 256, "a/" * 1500])
def test_what_no_file_can_be_called_is_refused_in_words_that_can_be_sent(campaign: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a file") as refused:
        below_working_folder("campaign", campaign)
    str(refused.value).encode()


@given(
    st.lists(st.sampled_from(["..", ".", "", "a", "~", "/", "//", "\0", "a b", "..."]) | st.text(max_size=5))
)
def test_no_parameter_leads_out_of_the_working_folder(parts: list[str]) -> None:
    campaign = "/".join(parts)
    try:
        path = below_working_folder("campaign", campaign)
    except ConfigError:
        return
    assert path.is_relative_to(Path.cwd())
    assert ".." not in path.parts
    path.exists()  # the system takes it for a path


def more_rounds(folder: Path, campaign: CampaignFolder) -> None:
    change(folder / "lj.yaml", rounds=2)


def another_arm(folder: Path, campaign: CampaignFolder) -> None:
    change(folder / "lj.yaml", arms={"chance": {"strategy": "random"}})


def another_seed(folder: Path, campaign: CampaignFolder) -> None:
    change(folder / "lj.yaml", seed=5)


def no_last_round(folder: Path, campaign: CampaignFolder) -> None:
    campaign.round(1).result.unlink()


def no_report(folder: Path, campaign: CampaignFolder) -> None:
    campaign.report.unlink()


def no_card(folder: Path, campaign: CampaignFolder) -> None:
    campaign.model_card.unlink()


def a_champion_of_fewer_rounds(folder: Path, campaign: CampaignFolder) -> None:
    card = json.loads(campaign.model_card.read_text())
    card["force MAE of every round, meV/Å"].pop()
    campaign.model_card.write_text(json.dumps(card))


@pytest.mark.parametrize(
    "alter",
    [more_rounds, another_arm, another_seed, no_last_round, no_report, no_card, a_champion_of_fewer_rounds],
)
def test_what_is_left_to_do(
    alter: Callable[[Path, CampaignFolder], None],
    whole_campaign: Path,
    tmp_path: Path,
) -> None:
    path = copy_of(whole_campaign, tmp_path)
    folder, campaign = path.parent, CampaignFolder.open(path)
    assert ending(campaign) == "round 1, its last, is done"
    alter(folder, campaign)
    assert ending(CampaignFolder.open(folder / "lj.yaml")) is None


def test_a_round_that_labelled_nothing_is_the_last(whole_campaign: Path, tmp_path: Path) -> None:
    path = copy_of(whole_campaign, tmp_path)
    folder, campaign = path.parent, CampaignFolder.open(path)
    (first, _), result = campaign.results(), campaign.round(0).result
    assert first.labels is not None
    nothing = first.labels.model_copy(update={"n_labelled": 0})
    result.write_text(first.model_copy(update={"labels": nothing}).model_dump_json())
    shutil.rmtree(campaign.round(1).path)
    change(folder / "lj.yaml", rounds=9)
    campaign = CampaignFolder.open(folder / "lj.yaml")
    campaign.write_config()
    card = json.loads(campaign.model_card.read_text())
    card["force MAE of every round, meV/Å"].pop()
    campaign.model_card.write_text(json.dumps(card))
    assert ending(campaign) == "round 0 found nothing new to label, another training would learn nothing"


def test_a_campaign_that_was_not_begun_has_not_ended(tmp_path: Path, write_lj_campaign: Writer) -> None:
    campaign = CampaignFolder.open(write_lj_campaign(tmp_path))
    assert ending(campaign) is None
    with campaign_lock(campaign.path):  # makes the folder
        assert ending(campaign) is None
