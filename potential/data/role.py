"""What a labelled frame is for, as its file says: the key `role` of an extxyz. Free of torch.

A frame of a frozen test is never trained on, in whichever file it turns up; what was held out stays so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from potential.data.dataset import LabelledFrame
from potential.data.frame import Frame

Role = Literal["train", "held_out", "test"]
"""Trained on; held out of the training, where it only chose the best epoch; frozen test, only reported on."""
KEY = "role"


def role_of(frame: Frame) -> Role | None:
    """What the frame's file says; None where it says nothing, or something else by that key."""
    said = frame.info.get(KEY)
    return next((role for role in get_args(Role) if role == said), None)


def tagged(items: Sequence[LabelledFrame], roles: Mapping[str, Role]) -> list[LabelledFrame]:
    """The items with their roles, by id, as `write_frames` writes them; others keep what they had."""
    return [
        replace(item, frame=replace(item.frame, info={**item.frame.info, KEY: roles[item.frame.id]}))
        if item.frame.id in roles
        else item
        for item in items
    ]


def to_learn_from(frames: Sequence[Frame]) -> list[Frame]:
    """Those that are in no frozen test."""
    return [frame for frame in frames if role_of(frame) != "test"]


def to_test_on(frames: Sequence[Frame]) -> list[Frame]:
    """Those that were frozen for testing; all, where none was."""
    return [frame for frame in frames if role_of(frame) == "test"] or list(frames)
