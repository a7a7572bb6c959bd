"""What makes a campaign pointless, told before anything is paid for."""

from __future__ import annotations

from collections.abc import Sequence

from exploration.frame_sources import FramesFromFile
from exploration.held import refuse_fixed_atoms
from exploration.strategies.diverse import Diverse
from exploration.strategies.random_draw import RandomDraw
from flows.settings.campaign_config import CampaignConfig
from potential.data.frame import Frame
from potential.training.unteachable import refuse_unteachable_frames

CERTAIN = (Diverse, RandomDraw)
"""Strategies that do not ask how far the committee disagrees."""


def check_start(config: CampaignConfig, start: Sequence[Frame]) -> None:
    """Whether a potential can be learned, and its uncertainty judged, from these structures.

    Raises:
        ValueError: for a committee of one that shall explore, several charge states of one composition,
            fixed atoms, a stress weight without crystals, or no neighbours within r_max.
    """
    uncertain = [s for s in (config.selection, *config.arms.values()) if not isinstance(s, CERTAIN)]
    if config.rounds > 0 and config.model.committee_size < 2 and uncertain:
        raise ValueError(
            f"model.committee_size is 1 and rounds is {config.rounds}: one member never disagrees with "
            "itself, so it would learn nothing from any frame; write committee_size: 4, rounds: 0, or "
            "`strategy: diverse` or `random` in `selection`, which do not ask for the disagreement"
        )
    check_frames(config, start)
    sets = [s for s in (config.initial, config.test, config.test_broad) if s is not None]
    from_files = any(isinstance(s.source, FramesFromFile) for s in sets)
    if config.training.stress_weight > 0 and not from_files and not any(all(f.pbc) for f in start):
        raise ValueError(
            f"training.stress_weight is {config.training.stress_weight:g}, and no structure is periodic in "
            "three directions, so there is no stress to learn; write stress_weight: 0"
        )
    if config.training.stress_weight > 0 and not config.level.can.stress:
        raise ValueError(
            f"training.stress_weight is {config.training.stress_weight:g}, and {config.level.name} gives no "
            "stress; write stress_weight: 0"
        )


def check_frames(config: CampaignConfig, frames: Sequence[Frame]) -> None:
    """Whether one potential can learn these frames, and exploration start from them.

    Raises:
        ValueError: for several charge states of one composition, no neighbours within r_max, or fixed atoms.
    """
    refuse_unteachable_frames(frames, config.model, config.training)
    refuse_fixed_atoms(frames)
