"""A crystal at constant pressure, from the YAML file to labels with stress of cells that moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from ase.build import bulk

from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from labeling.store import LabelStore
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames

Writer = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("prefect_url", "one_mlflow_store")

SOURCE = {"method": "displacement", "std_A": 0.1, "strain_std": 0.02}
NPT = {
    "n_replicas": 3,
    "temperatures_K": [20.0],
    "timestep_fs": 5.0,
    "n_steps": 60,
    "record_every": 10,
    "ensemble": {
        "scheme": "npt",
        "pressure_GPa": 0.05,
        "barostat_time_fs": 100.0,
        "compressibility_per_GPa": 0.4,
    },
    "lower_eV_per_A": 1e-9,
    "upper_eV_per_A": 5.0,
    "stop_eV_per_A": 9.0,
}


@pytest.fixture
def argon(tmp_path: Path) -> Frame:
    frame = Frame.from_atoms(bulk("Ar", "fcc", a=5.3, cubic=True))
    write_frames(tmp_path / "argon.extxyz", [frame])
    return frame


def written(writer: Writer, folder: Path, **changes: object) -> Path:
    path = writer(folder, **changes)
    content = yaml.safe_load(path.read_text()) | {"structure": {"files": "argon.extxyz"}}
    content["training"] |= {"stress_weight": 100.0}
    content["model"] |= {"r_max": 5.0}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.mark.slow
def test_a_crystal_explores_at_constant_pressure(tmp_path: Path, argon: Frame, write_lj_campaign: Writer):
    from flows.campaign.loop import run_campaign

    frames = {"initial": {"frames": 6, "source": SOURCE}, "test": {"frames": 4, "source": SOURCE}}
    folder = run_campaign(written(write_lj_campaign, tmp_path, exploration=NPT, **frames))
    ledger = pd.read_csv(folder.round(0).explore / "ledger.csv")
    assert ledger["volume_ratio"].nunique() == len(ledger) > 3
    selected = read_frames(folder.round(0).select / "selected.extxyz")
    assert selected
    store = {item.frame.id: item for item in LabelStore(folder.label_store)}
    started = read_frames(folder.initial_frames)
    known = {frame.cell.tobytes() for frame in started}
    for frame in selected:
        assert frame.cell.tobytes() not in known
        assert store[frame.id].frame == frame
        assert store[frame.id].label.stress is not None
        assert np.isfinite(store[frame.id].label.stress).all()
    assert len(folder.results()) == 2
    again = CampaignFolder.open(folder.path).config
    assert again.exploration == folder.config.exploration  # campaign.yaml says the ensemble in full


def test_a_molecule_at_constant_pressure_is_refused_before_anything_is_made(
    tmp_path: Path, write_lj_campaign: Writer
):
    from flows.campaign.loop import run_campaign

    path = write_lj_campaign(tmp_path, exploration={"ensemble": {"scheme": "npt"}})
    message = r"scheme npt .* Ar7 is not periodic in three directions .*write scheme: langevin"
    with pytest.raises(ConfigError, match=message):
        run_campaign(path)
    assert not (tmp_path / "campaigns").exists()


def test_initial_frames_without_a_cell_are_refused_before_they_are_labelled(
    tmp_path: Path, argon: Frame, write_lj_campaign: Writer
):
    from flows.campaign.loop import run_campaign

    write_frames(tmp_path / "slabs.extxyz", [Frame.of([18], [[0, 0, 0]], argon.cell, (True, True, False))])
    path = written(
        write_lj_campaign,
        tmp_path,
        exploration=NPT,
        initial={"frames": 1, "source": {"method": "file", "path": "slabs.extxyz"}},
        test={"frames": 1, "source": SOURCE},
    )
    with pytest.raises(CampaignError, match=r"cannot start from an initial frame: .*scheme npt .* Ar is not"):
        run_campaign(path)
    assert not list((tmp_path / "campaigns").rglob("outcomes.csv"))
