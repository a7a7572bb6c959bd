"""What a report shows of structures: the viewer's data, the largest errors, the map."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.record.folder import CampaignFolder
from flows.views.elements import element_table
from flows.views.space import descriptors, frame_sets, projected, space_map
from flows.views.structures import largest_errors, shown_structures, start_of
from potential.data.structure_files import write_frames
from tests.support.systems import crystal, ethanol, water


def atoms(folder: CampaignFolder) -> pd.DataFrame:
    return pd.read_csv(folder.round(3).test_atoms, dtype={"frame_id": str})


def test_the_viewer_has_the_start_the_picks_and_the_worst(reported_campaign: Path) -> None:
    folder = CampaignFolder.open(reported_campaign)
    errors = largest_errors(atoms(folder), None)
    shown = shown_structures(folder, folder.main.begun(), errors)
    groups = [structure["group"] for structure in shown]
    assert groups.count("where it began") == 1
    assert groups.count("largest test errors") == 8
    assert [groups.count(f"picked in round {n}") for n in range(4)] == [8, 8, 8, 0]
    first = shown[0]["xyz"].splitlines()
    assert first[0] == "9"
    assert len(first) == 2 + 9
    assert all(structure["cell"] == [] for structure in shown)
    html = folder.report.read_text()
    (data,) = re.findall(r"const structures = (\[.*\]);", html)
    assert json.loads(data) == shown
    links = re.findall(r'data-structure="([0-9a-f]+)"', html)
    assert links == errors["frame_id"].tolist()
    assert "3dmol" in html
    assert "https://cdn" not in html


def test_a_crystal_has_the_edges_of_its_cell(tmp_path: Path, campaign_config) -> None:
    folder = CampaignFolder(tmp_path, campaign_config)
    (tmp_path / "rounds" / "00" / "select").mkdir(parents=True)
    write_frames(tmp_path / "rounds" / "00" / "select" / "selected.extxyz", [crystal()])
    _, shown = shown_structures(folder, folder.main.begun(), None)
    edges = np.array(shown["cell"])
    assert edges.shape == (12, 2, 3)
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    np.testing.assert_allclose(
        lengths.reshape(3, 4), np.linalg.norm(crystal().cell, axis=1)[:, None].repeat(4, 1), atol=2e-3
    )


def test_the_largest_errors_are_the_largest(reported_campaign: Path) -> None:
    folder = CampaignFolder.open(reported_campaign)
    table, frames = atoms(folder), pd.read_csv(folder.round(3).test_errors, dtype={"frame_id": str})
    found = largest_errors(table, frames)
    worst = table.groupby("frame_id")["force_error"].max().nlargest(8)
    assert found["frame_id"].tolist() == worst.index.tolist()
    assert found["force_error"].tolist() == pytest.approx(worst.tolist())
    row = frames.set_index("frame_id").loc[found["frame_id"][0]]
    assert found["energy_error"][0] == pytest.approx((row["energy"] - row["energy_ref"]) / 9)
    symbol, number = re.fullmatch(r"([A-Z][a-z]?)(\d+)", found["atom"][0]).groups()
    mine = table[(table["frame_id"] == found["frame_id"][0]) & (table["atom"] == int(number))]
    assert (mine["symbol"].item(), mine["force_error"].item()) == (symbol, found["force_error"][0])


def test_errors_by_element_make_up_the_whole(reported_campaign: Path) -> None:
    folder = CampaignFolder.open(reported_campaign)
    rows = element_table(atoms(folder))
    assert [row["element"] for row in rows] == ["H", "C", "O"]
    assert [int(row["atoms"]) for row in rows] == [120, 40, 20]
    means = [float(row["MAE (meV/Å)"].split(" ± ")[0]) for row in rows]
    whole = np.average(means, weights=[120, 40, 20])
    assert whole == pytest.approx(1000 * folder.results()[3].test.force_mae, abs=0.6)


def test_the_map_tells_apart_what_differs(reported_campaign: Path) -> None:
    """Ethanol and water in one set: the first component is their difference."""
    frames = [*(ethanol(i) for i in range(5)), *(water(i) for i in range(5))]
    points, share = projected(descriptors(frames))
    assert points[:5, 0].max() < points[5:, 0].min() or points[5:, 0].max() < points[:5, 0].min()
    assert share > 0.5
    assert projected(np.ones((3, 4)))[0].tolist() == [[0, 0]] * 3
    sets = frame_sets(CampaignFolder.open(reported_campaign))
    assert {name: len(some) for name, some in sets.items()} == {
        "initial": 20,
        "picked": 24,
        "frozen test": 20,
    }
    (axes,) = space_map(sets).axes
    drawn = {line.get_label(): np.size(line.get_xdata()) for line in axes.lines}
    assert drawn == {"initial (20)": 20, "picked (24)": 24, "frozen test (20)": 20}


def test_without_its_files_the_campaign_began_with_its_first_frame(
    reported_campaign: Path, campaign_config
) -> None:
    gone = {"files": (Path("/nowhere/start.xyz"),), "molecule": None}
    structure = type(campaign_config.structure).model_construct(
        **(campaign_config.structure.model_dump() | gone)
    )
    folder = CampaignFolder(reported_campaign, campaign_config.model_copy(update={"structure": structure}))
    assert len(start_of(folder)) == 1
