"""`alnico engine`: what a campaign's engine would start, and whether a label comes out of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.settings.campaign_config import CampaignConfig
from labeling.failure import LabelFailure
from labeling.task import label
from potential.data.dataset import Label
from potential.data.frame import Frame


def print_dry_run(source: Path) -> None:
    """Print what the engine would start: words, a job script, or a manifest.

    Raises:
        ConfigError: if the campaign or its site is wrong.
    """
    folder = CampaignFolder.open(source)
    labeling = folder.config.labeling
    print(labeling.engine.dry_run(labeling.on_a_node, folder.path))


def try_engine(source: Path) -> None:
    """Label the campaign's first structure on the engine; nothing is stored.

    Raises:
        ConfigError: if the campaign or its site is wrong, or the engine cannot be opened.
        CampaignError: if there is no label.
    """
    folder = CampaignFolder.open(source)
    config = folder.config
    frame = config.structure.frames()[0]
    tried = label_once(config, frame, folder.path)
    print(
        f"{frame.formula} {frame.id}  {tried.label.energy:.6f} eV at {config.level.name}, on "
        f"{tried.label.provenance.get('host', 'a node')}, {tried.seconds:.1f} s in all; "
        f"{tried.at_once} labels at once"
    )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A label from a campaign's engine: wall seconds with all that it took, labels at once there."""

    label: Label
    seconds: float
    at_once: int


def label_once(config: CampaignConfig, frame: Frame, folder: Path) -> Tried:
    """Label one frame where the campaign's engine computes; nothing is stored.

    Args:
        folder: the campaign's.

    Raises:
        ConfigError: if the engine cannot be opened.
        CampaignError: if there is no label.
    """
    began = time.perf_counter()
    with config.labeling.engine.open(config.labeling.on_a_node, folder) as engine:
        at_once = engine.at_once
        asked = (frame, config.level, engine.on_node(config.labeling.on_a_node), None)
        (outcome,) = engine.each(label, [asked])
    if isinstance(outcome, LabelFailure):
        raise CampaignError(f"{outcome.kind}: {outcome.message} {outcome.advice}")
    return Tried(label=outcome, seconds=time.perf_counter() - began, at_once=at_once)
