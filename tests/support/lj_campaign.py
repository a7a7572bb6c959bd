"""A whole campaign on the Lennard-Jones labeler, as small as one can be, run a round at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from flows.record.folder import CampaignFolder
from flows.settings.yaml_file import load_config
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.structure_files import write_frames

EXAMPLE = Path(__file__).parents[2] / "examples" / "lj_cluster.yaml"
TINY = {
    "rounds": 1,
    "initial": {"frames": 6, "source": {"method": "displacement", "std_A": 0.15}},
    "test": {"frames": 4, "source": {"method": "displacement", "std_A": 0.15}},
    "model": {
        "r_max": 8.0,
        "num_layers": 1,
        "l_max": 1,
        "num_features": 4,
        "radial_mlp_width": 8,
        "committee_size": 2,
    },
    "training": {"max_epochs": 12, "checkpoint_every_epochs": 2},
}


class TaskRun(Config):
    """What Prefect shows of a task."""

    name: str
    state: str
    tags: tuple[str, ...]


class Step(Config):
    """What one run of `campaign_step` said and left.

    Attributes:
        files: those of the campaign, relative to its folder.
        mlflow: the status of the campaign's run.
    """

    type: str
    name: str
    message: str
    files: tuple[str, ...]
    mlflow: str
    tasks: tuple[TaskRun, ...]


class Told(Config):
    """What each of the runs said, of which the last found nothing to do."""

    steps: tuple[Step, ...]


TOLD = "told.json"


def write_lj_campaign(folder: Path, **changes: object) -> Path:
    """The Lennard-Jones example, made smaller still, as `folder`/lj.yaml; its campaign goes beside it."""
    content = yaml.safe_load(EXAMPLE.read_text()) | TINY | {"name": "lj", "folder": "campaigns"} | changes
    content["structure"] = {"files": str(EXAMPLE.parent / "argon7.xyz")}
    path = folder / "lj.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def squeezed(frame: Frame, distance_A: float) -> Frame:
    """Two atoms so near that argon's covalent radius allows it, and the Lennard-Jones wall does not."""
    positions = frame.positions.copy()
    positions[0] = positions[1] + [distance_A, 0.0, 0.0]
    return frame.moved(positions, origin={"squeezed": 1})


def write_whole_campaign(folder: Path) -> Path:
    """With initial frames from a file, of which one cannot be labelled, and a broad test."""
    good = load_config(write_lj_campaign(folder)).structure.frames()[0]
    frames = [good.moved(good.positions * scale) for scale in (0.98, 0.99, 1.0, 1.01, 1.02)]
    write_frames(folder / "mine.extxyz", [*frames, squeezed(good, 1.6)])
    source = {"method": "file", "path": "mine.extxyz"}
    broad = {"frames": 3, "source": {"method": "displacement", "std_A": 0.3}}
    return write_lj_campaign(folder, initial={"frames": 6, "source": source}, test_broad=broad)


def run_whole_campaign(folder: Path, empty_store: Path) -> None:
    """Run it in steps of a round until there is nothing to do, and note in `told.json` what was said."""
    uri = f"sqlite:///{shutil.copy(empty_store, folder / 'mlflow.db')}"
    path = write_whole_campaign(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.chdir(folder)
        steps = tuple(_step(path) for _ in range(3))
    (folder / TOLD).write_text(Told(steps=steps).model_dump_json())


def told(whole: Path) -> Told:
    return Told.model_validate_json((whole / TOLD).read_text())


def copy_of(whole: Path, into: Path) -> Path:
    """The YAML file of a copy of the campaign, to be changed."""
    path = shutil.copytree(whole, into / "copy") / "lj.yaml"
    CampaignFolder.open(path).write_config()  # paths are another folder's
    return path


def change(path: Path, **changes: object) -> None:
    """Write other settings into a campaign's YAML file."""
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def _step(path: Path) -> Step:
    from mlflow import MlflowClient
    from prefect import State
    from prefect.client.orchestration import get_client

    from flows.deployments.step import campaign_step

    state = campaign_step(path.name, return_state=True)
    assert isinstance(state, State)
    campaign = CampaignFolder.open(path)
    record = json.loads(campaign.tracking.read_text())
    run = MlflowClient(tracking_uri=record["tracking_uri"]).get_run(record["run_ids"]["campaign"])
    files = [p.relative_to(campaign.path).as_posix() for p in campaign.path.rglob("*") if p.is_file()]
    with get_client(sync_client=True) as client:
        tasks = [t for t in client.read_task_runs() if t.flow_run_id == state.state_details.flow_run_id]
    return Step(
        type=state.type.value,
        name=state.name or "",
        message=state.message or "",
        files=tuple(sorted(files)),
        mlflow=run.info.status,
        tasks=tuple(TaskRun(name=t.name, state=t.state_name or "", tags=tuple(t.tags)) for t in tasks),
    )
