"""Labels that are made elsewhere: the frames that lack one, written for whoever makes them."""

from __future__ import annotations

from collections.abc import Sequence

from flows.errors import LabelsAwaitedError
from flows.record.folder import CampaignFolder
from labeling.foreign_level import ForeignLevel
from labeling.store import LabelStore
from potential.data.frame import Frame
from potential.data.structure_files import write_frames


def await_labels(campaign: CampaignFolder, frames: Sequence[Frame], store: LabelStore) -> None:
    """Go on if every frame has a label or is given up, or if labels can be made here.

    Raises:
        LabelsAwaitedError: for frames to be labelled elsewhere, which then lie in `to_label.extxyz`.
    """
    level, file = campaign.config.level, campaign.to_label
    if not isinstance(level, ForeignLevel):
        return
    known = {item.frame.id for item in store.dataset(frames, level.key)}
    given_up = {frame.id for frame, _ in store.failures(level.key)}
    missing = [frame for frame in frames if frame.id not in known | given_up]
    if not missing:
        file.unlink(missing_ok=True)
        return
    write_frames(file, missing)
    raise LabelsAwaitedError(
        f"{len(missing)} of {len(frames)} frames have no label of {level.name!r}, and `labeler: none` makes "
        f"none: they are in {file}.\nLabel them where the others were made, then "
        f"`alnico labels import {campaign.path} FILE --vouch {level.name!r}`, and run again."
    )
