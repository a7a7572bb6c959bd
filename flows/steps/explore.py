"""Make the first frames, explore with the committee, select: one Prefect task each, done once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from exploration.explore import explore
from exploration.initial import make_frames
from exploration.ledger import Exploration
from exploration.selection import Selection, select
from exploration.strategies import Strategy
from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse
from flows.errors import CampaignError
from flows.record.folder import CampaignFolder
from flows.record.results import LedgerCounts
from flows.record.seeds import seed_for
from flows.record.stages import read_manifest, run_stage
from flows.settings.campaign_config import FrameSetConfig
from flows.steps.train import load_committee, weights_digest
from flows.views.console import say, warn
from flows.views.progress import artifact_key, progress
from flows.views.selection import selection_markdown
from flows.views.summary import duration
from potential.data.atomic_write import write_atomically
from potential.data.config import Config
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames


class ExplorationSummary(Config):
    """What exploration met."""

    ledger: LedgerCounts
    surviving_replicas: float
    seconds: float


@task(
    name="make frames",
    task_run_name="make initial and test frames",
    tags=["frames"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def make_frame_sets(campaign: CampaignFolder, start: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """The frames that are labelled first, and the frozen test set, drawn independently of them."""
    config, folder = campaign.config, campaign.frames
    inputs = {
        "structure": [frame.id for frame in start],
        "initial": config.initial.model_dump(mode="json"),
        "test": config.test.model_dump(mode="json"),
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        frozen: list[Frame] = []
        for name, wanted in (("test", config.test), ("initial", config.initial)):
            with progress(f"{config.name}-frames", f"{name} frames", wanted.frames, "frame") as done:
                made = _made(start, wanted, seed_for(config.seed, "frames", name), frozen, done)
            write_frames(into / f"{name}.extxyz", made)
            frozen = made

    run_stage(folder, inputs, make)
    initial, test = (read_frames(folder / f"{name}.extxyz") for name in ("initial", "test"))
    say(f"  {len(initial)} initial frames, {len(test)} frozen test frames")
    return initial, test


@task(
    name="explore",
    task_run_name="explore round {number}",
    tags=["explore"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def explore_with_committee(
    campaign: CampaignFolder, number: int, starts: Sequence[Frame]
) -> ExplorationSummary:
    """Molecular dynamics with the round's committee, from the frames it has learned."""
    config, round_folder = campaign.config, campaign.round(number)
    inputs = {
        "exploration": config.exploration.model_dump(mode="json"),
        "potential": weights_digest(round_folder.potential),
        "starts": frames_digest(starts),
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        began = time.perf_counter()
        steps = config.exploration.n_steps
        with progress(f"{config.name}-exploration", f"round {number}: exploring", steps, "step") as done:
            found = explore(
                load_committee(campaign, number),
                starts,
                config.exploration,
                seed=seed_for(config.seed, "explore", number),
                origin={"round": number},
                progress=lambda step, _: done(step),
            )
        found.save(into)
        summary = ExplorationSummary(
            ledger=LedgerCounts(**found.counts),
            surviving_replicas=found.surviving_replicas,
            seconds=round(time.perf_counter() - began, 3),
        )
        write_atomically(into / "summary.json", summary.model_dump_json(indent=2))

    run_stage(round_folder.explore, inputs, make)
    summary = ExplorationSummary.model_validate_json((round_folder.explore / "summary.json").read_text())
    counts = summary.ledger
    say(
        f"  exploration: {counts.accurate} accurate, {counts.candidate} candidate, {counts.failed} failed "
        f"frames; {summary.surviving_replicas:.0%} of the replicas survived; {duration(summary.seconds)}"
    )
    return summary


@task(
    name="select",
    task_run_name="select round {number}",
    tags=["select"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def select_frames(campaign: CampaignFolder, number: int, learned: Sequence[Frame]) -> list[Frame]:
    """The frames to label next, each pick and each rejection with its reason in `selection.csv`."""
    config, round_folder = campaign.config, campaign.round(number)
    explored = read_manifest(round_folder.explore)
    assert explored is not None, "exploration comes before selection"
    inputs = {
        "selection": _as_input(config.selection),
        "explored": explored.outputs["ledger.csv"],
        "learned": frames_digest(learned),
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        selection = select(
            Exploration.load(round_folder.explore),
            descriptors=load_committee(campaign, number).descriptors,
            training_frames=learned,
            strategy=config.selection,
            seed=seed_for(config.seed, "select", number),
        )
        selection.save(into)

    run_stage(round_folder.select, inputs, make)
    selection = Selection.load(round_folder.select)
    say(f"  selection: {len(selection.frames)} frames to label")
    for warning in selection.warnings:
        warn(warning)
    create_markdown_artifact(
        selection_markdown(f"{config.name}, round {number}: selection", number, selection),
        key=artifact_key(f"{config.name}-selection"),
        description=f"What was selected in round {number}, and why",
    )
    return list(selection.frames)


def _as_input(strategy: Strategy) -> dict[str, Any]:
    """The settings that decide a selection; those of the first strategy go without its name.

    So they stand in the manifests of campaigns that were made when there was no other.
    """
    first = isinstance(strategy, UncertainAndDiverse)
    return strategy.model_dump(mode="json", exclude={"strategy"} if first else None)


def _made(
    start: Sequence[Frame],
    wanted: FrameSetConfig,
    seed: int,
    exclude: Sequence[Frame],
    done: Callable[[int], None],
) -> list[Frame]:
    try:
        return make_frames(
            start,
            wanted.frames,
            wanted.source,
            seed=seed,
            exclude=exclude,
            progress=lambda count, _: done(count),
        )
    except (ValueError, ImportError, OSError) as error:
        raise CampaignError(f"the frames cannot be made: {error}") from error


def frames_digest(frames: Sequence[Frame]) -> str:
    """Hash of the frames' ids, in order."""
    return hashlib.sha256("\n".join(frame.id for frame in frames).encode()).hexdigest()[:16]
