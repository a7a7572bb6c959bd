"""The frozen test sets of a campaign: frames that nothing learns from."""

from __future__ import annotations

from flows.record.folder import CampaignFolder
from potential.data.frame import Frame
from potential.data.structure_files import read_frames


def frozen_sets(folder: CampaignFolder) -> dict[str, list[Frame]]:
    """The frames of each frozen test that is made, by its name in `RoundFolder.tests`."""
    files = {"test": folder.test_frames, "broad": folder.broad_frames / "broad.extxyz"}
    return {name: read_frames(file, check=False) for name, file in files.items() if file.exists()}


def frozen_frames(folder: CampaignFolder) -> list[Frame]:
    """Of all frozen tests."""
    return [frame for frames in frozen_sets(folder).values() for frame in frames]
