"""What each labelled frame of a campaign is for: trained on, held out, or in a frozen test."""

from __future__ import annotations

from collections.abc import Mapping

from flows.record.folder import CampaignFolder
from flows.record.rounds import OUTCOMES_FILE, read_outcomes
from potential.data.frame import Frame
from potential.data.role import Role
from potential.data.structure_files import read_frames
from potential.roles import Roles


def frozen_sets(folder: CampaignFolder) -> dict[str, list[Frame]]:
    """The frames of each frozen test that is made, by its name in `RoundFolder.tests`."""
    files = {"test": folder.test_frames, "broad": folder.broad_frames / "broad.extxyz"}
    return {name: read_frames(file, check=False) for name, file in files.items() if file.exists()}


def frozen_frames(folder: CampaignFolder) -> list[Frame]:
    """Of all frozen tests."""
    return [frame for frames in frozen_sets(folder).values() for frame in frames]


def campaign_roles(folder: CampaignFolder) -> Mapping[str, Role]:
    """The role of every frame that the campaign labelled, by its id; isolated atoms have none.

    Held out is what the newest round of its own selection holds out; of all other labels to learn from
    some round or arm has learned, or will.
    """
    held_out: list[str] = []
    for here in folder.main.begun():
        if (roles := Roles.load(here.potential)) is not None:
            held_out = roles.ids("held_out")
    isolated = folder.isolated_atoms / OUTCOMES_FILE
    stages = [path for _, _, path in folder.label_stages() if path.exists() and path != isolated]
    tables = [read_outcomes(path) for path in stages]
    labelled = [i for table in tables for i in table.loc[table["outcome"] == "labelled", "frame_id"]]
    found: dict[str, Role] = dict.fromkeys(labelled, "train")
    found |= dict.fromkeys(held_out, "held_out")
    found |= dict.fromkeys((frame.id for frame in frozen_frames(folder)), "test")
    return found
