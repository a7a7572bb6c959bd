"""The step that selects: what it tells people, and that campaigns from before the strategies go on."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact

from exploration.ledger import Exploration
from exploration.strategies import Strategy
from exploration.strategies.random_draw import RandomDraw
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from flows.errors import StageChangedError
from flows.record.folder import CampaignFolder
from flows.record.stages import read_manifest
from flows.record.table import EXPLORE
from flows.steps.explore import select_frames
from potential.data.frame import Frame
from potential.nequip.model import NequIP
from potential.package import save_potential

Writer = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("prefect_url")


@pytest.fixture
def explored(tmp_path: Path, write_lj_campaign: Writer) -> CampaignFolder:
    """A round with a committee and three explored frames, two of them candidates."""
    folder = CampaignFolder.open(write_lj_campaign(tmp_path, selection={"frames_per_round": 3}))
    start = folder.config.structure.frames()[0]
    frames = [start.moved(start.positions * scale) for scale in (1.02, 1.05, 1.08)]
    records = pd.DataFrame(
        {
            "frame_id": [frame.id for frame in frames],
            "replica": 0,
            "step": [10, 20, 30],
            "bath_temperature_K": 15.0,
            "max_force_disagreement": [0.01, 0.02, 0.9],
            "verdict": ["candidate", "candidate", "failed"],
            "reason": ["between", "between", "too uncertain"],
            "physical": True,
        }
    )
    exploration = Exploration(
        records=records, frames=tuple(frames), replicas=pd.DataFrame({"replica": [0], "survived": [True]})
    )

    def make(into: Path) -> None:
        exploration.save(into)
        (into / "summary.json").write_text("{}")

    EXPLORE.run(folder.round(0).explore, dict.fromkeys(EXPLORE.inputs), make)
    save_potential(folder.round(0).potential, NequIP(folder.config.model, [18], seed=0), {})
    return folder


@flow
def selecting(folder: CampaignFolder) -> list[Frame]:
    return list(select_frames(folder, folder.round(0), folder.config.structure.frames()).frames)


def with_strategy(folder: CampaignFolder, strategy: Strategy) -> CampaignFolder:
    return CampaignFolder(folder.path, folder.config.model_copy(update={"selection": strategy}))


def selection_artifacts() -> list[Artifact]:
    with get_client(sync_client=True) as client:
        return [a for a in client.read_artifacts() if a.key == "lj-selection"]


def test_warnings_reach_the_terminal_and_prefect(
    explored: CampaignFolder, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    there = {artifact.id for artifact in selection_artifacts()}  # of other campaigns of this name
    assert len(selecting(explored)) == 2
    warnings = [
        "only 2 candidates worth a label for the 3 of this round",
        "filled with 0 accurate frames",
    ]
    said = capsys.readouterr().out
    assert [line.removeprefix("  warning: ") for line in said.splitlines() if "warning" in line] == warnings
    logged = [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and "task_runs" in r.name]
    assert logged == warnings
    (artifact,) = [a for a in selection_artifacts() if a.id not in there]
    text = str(artifact.data)
    assert text.startswith("# lj, round 0: selection")
    assert all(f"**Warning:** {warning}" in text for warning in warnings)
    assert "drawn by its uncertainty and its distance from what is known | 2 |" in text


def test_a_selection_from_before_the_strategies_is_kept(explored: CampaignFolder):
    """Its manifest names no strategy, since there was one only, and has no digest."""
    explored = with_strategy(explored, UncertainAndDiverse(frames_per_round=3))
    selecting(explored)
    path = explored.round(0).select / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("digest")
    assert manifest["inputs"]["selection"].pop("strategy") == "uncertain_and_diverse"
    path.write_text(json.dumps(manifest))
    made = path.stat().st_mtime_ns
    selecting(explored)
    assert path.stat().st_mtime_ns == made
    with pytest.raises(StageChangedError, match=r"strategy: was .uncertain_and_diverse., is now .random."):
        selecting(with_strategy(explored, RandomDraw(frames_per_round=3)))


def test_another_strategy_is_used_and_recorded(explored: CampaignFolder):
    chosen = selecting(with_strategy(explored, RandomDraw(frames_per_round=3)))
    assert len(chosen) == 3
    manifest = read_manifest(explored.round(0).select)
    assert manifest is not None
    assert RandomDraw.model_validate(manifest.inputs["selection"]).strategy == "random"
