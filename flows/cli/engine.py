"""`alnico engine`: what a campaign's engine would start, and whether a label comes out of it."""

from __future__ import annotations

import time
from pathlib import Path

from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from labeling.failure import LabelFailure
from labeling.task import label


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
    began = time.perf_counter()
    with config.labeling.engine.open(config.labeling.on_a_node, folder.path) as engine:
        at_once = engine.at_once
        asked = (frame, config.level, engine.on_node(config.labeling.on_a_node), None)
        (outcome,) = engine.each(label, [asked])
    if isinstance(outcome, LabelFailure):
        raise CampaignError(f"{outcome.kind}: {outcome.message} {outcome.advice}")
    print(
        f"{frame.formula} {frame.id}  {outcome.energy:.6f} eV at {config.level.name}, on "
        f"{outcome.provenance.get('host', 'a node')}, {time.perf_counter() - began:.1f} s in all; "
        f"{at_once} labels at once"
    )
