"""Make the first frames, explore with the committee, select: one Prefect task each, done once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from exploration.dynamics.scheme import Scheme
from exploration.initial import make_frames
from exploration.ledger import Exploration
from exploration.restarts import survivable
from exploration.selection import Selection, select
from exploration.settings import ExplorationConfig
from exploration.strategies import Strategy, strategy_of_record
from flows.errors import CampaignError
from flows.jobs.exploration import RoundExploration
from flows.jobs.job import compute
from flows.record.folder import CampaignFolder
from flows.record.results import SUMMARY_FILE, ExplorationSummary
from flows.record.rounds import RoundFolder
from flows.record.seeds import seed_for
from flows.record.stage_inputs import Settings
from flows.record.stages import read_manifest
from flows.record.table import BROAD_FRAMES, EXPLORE, FRAMES, SELECT
from flows.settings.campaign_config import CampaignConfig, FrameSetConfig
from flows.settings.start_checks import check_frames
from flows.steps.step import step
from flows.steps.train import load_committee, weights_digest
from flows.views.console import say, warn
from flows.views.duration import duration
from flows.views.progress import artifact_key, progress
from flows.views.selection import selection_markdown
from potential.calibration.calibration import Calibration
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames


@step("make frames", "make initial and test frames")
def make_frame_sets(campaign: CampaignFolder, start: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """The frames that are labelled first, and the frozen test set, drawn independently of them."""
    config = campaign.config
    taken = [] if campaign.taken_over is None else read_frames(campaign.taken_over)
    inputs = {
        "structure": [frame.id for frame in start],
        "initial": Settings(config.initial),
        "test": Settings(config.test),
        "seed": config.seed,
        "taken_over": frames_digest(taken) if taken else None,
    }

    def make(into: Path) -> None:
        old = {name: _held(into, campaign.frames / f"{name}.extxyz") for name in ("initial", "test")}
        test = _grown(start, config, "test", config.test, old["test"], others=[*old["initial"], *taken])
        initial = taken or old["initial"]
        if not initial:
            initial = _grown(start, config, "initial", config.initial, [], others=test)
        write_frames(into / "test.extxyz", test)
        write_frames(into / "initial.extxyz", initial)
        _refuse_what_cannot_move(initial, config.exploration.ensemble)

    FRAMES.run(campaign.frames, inputs, make)
    initial, test = read_frames(campaign.initial_frames), read_frames(campaign.test_frames)
    try:
        check_frames(config, [*start, *initial, *test])
    except ValueError as error:
        raise CampaignError(f"these frames cannot be learned together: {error}") from error
    say(f"  {len(initial)} initial frames, {len(test)} frozen test frames")
    return initial, test


@step("make broad frames", "make broad test frames")
def make_broad_frames(
    campaign: CampaignFolder, start: Sequence[Frame], others: Sequence[Frame]
) -> list[Frame]:
    """The second frozen test set, drawn without a committee; none of the `others` is in it."""
    config, wanted = campaign.config, campaign.config.test_broad
    assert wanted is not None, "test_broad is not asked for"
    finished = read_manifest(campaign.broad_frames)  # the test set may have grown since
    inputs = {
        "structure": [frame.id for frame in start],
        "test_broad": Settings(wanted),
        "others": frames_digest(others) if finished is None else finished.inputs["others"],
        "seed": config.seed,
    }

    def make(into: Path) -> None:
        old = _held(into, campaign.broad_frames / BROAD_FRAMES.outputs[0])
        made = _grown(start, config, "broad", wanted, old, others=others)
        write_frames(into / BROAD_FRAMES.outputs[0], made)

    BROAD_FRAMES.run(campaign.broad_frames, inputs, make)
    broad = read_frames(campaign.broad_frames / BROAD_FRAMES.outputs[0])
    try:
        check_frames(config, [*start, *broad])
    except ValueError as error:
        raise CampaignError(f"these frames cannot be tested together: {error}") from error
    say(f"  {len(broad)} frames of the broad test")
    return broad


@step("explore", "explore {here}")
def explore_with_committee(
    campaign: CampaignFolder,
    here: RoundFolder,
    starts: Sequence[Frame],
    calibration: Calibration | None = None,
) -> ExplorationSummary:
    """Molecular dynamics with the round's committee, from the frames it has learned.

    Args:
        calibration: for expected errors of what is explored; None: none are asked for, or there is none.
    """
    config, exploration = campaign.config, campaign.at(here.number).exploration
    if exploration.error_bounds is not None and calibration is None:
        warn(f"{here} has no calibration yet: its frames are judged by the committee's disagreement")
    again = _restarts(here, exploration)
    inputs = {
        "exploration": Settings(exploration),
        "potential": weights_digest(here.potential),
        "starts": frames_digest(starts),
        "seed": config.seed,
        "calibration": None if calibration is None else calibration.model_dump(mode="json"),
        "restarts": frames_digest(again) if again else None,
    }
    work = RoundExploration(
        potential=here.potential,
        device=config.training.device,
        starts=tuple(starts),
        config=exploration,
        seed=seed_for(config.seed, "explore", here.number),
        calibration=calibration,
        restarts=tuple(again),
        origin={"round": here.number},
    )

    def make(into: Path) -> None:
        engine = config.labeling.engine
        with progress(
            f"{config.name}-exploration", f"{here}: exploring", exploration.n_steps, "step"
        ) as done:
            compute(work, into, done, engine=engine, kind="exploration", campaign=campaign.path)

    EXPLORE.run(here.explore, inputs, make)
    summary = ExplorationSummary.model_validate_json((here.explore / SUMMARY_FILE).read_text())
    counts = summary.ledger
    say(
        f"  exploration: members agree on {counts.accurate} frames, {counts.candidate} candidates, "
        f"{counts.failed} failed; {summary.surviving_replicas:.0%} of the replicas survived; "
        f"{duration(summary.seconds)}"
    )
    return summary


@step("select", "select {here}")
def select_frames(
    campaign: CampaignFolder, here: RoundFolder, learned: Sequence[Frame], *, at_most: int | None = None
) -> Selection:
    """The frames to label next, each pick and each rejection with its reason in `selection.csv`.

    Args:
        at_most: what the budget leaves; None: as many as the strategy says.
    """
    strategy = campaign.strategy(here)
    left = _left(here, strategy, at_most)
    explored = read_manifest(here.explore)
    assert explored is not None, "exploration comes before selection"
    inputs = {
        "selection": Settings(strategy, read=strategy_of_record),
        "explored": explored.outputs["ledger.csv"],
        "learned": frames_digest(learned),
        "seed": campaign.config.seed,
        "at_most": left,
    }

    def make(into: Path) -> None:
        selection = select(
            Exploration.load(here.explore),
            descriptors=load_committee(campaign, here).descriptors,
            training_frames=learned,
            strategy=strategy if left is None else strategy.model_copy(update={"frames_per_round": left}),
            seed=seed_for(campaign.config.seed, "select", here.number),
        )
        selection.save(into)

    SELECT.run(here.select, inputs, make)
    selection = Selection.load(here.select)
    say(f"  selection: {len(selection.frames)} frames to label")
    for warning in selection.warnings:
        warn(warning)
    name = campaign.config.name
    create_markdown_artifact(
        selection_markdown(f"{name}, {here}: selection", str(here), selection),
        key=artifact_key(f"{name}-selection"),
        description=f"What was selected in {here}, and why",
    )
    return selection


def _restarts(here: RoundFolder, exploration: ExplorationConfig) -> list[Frame]:
    """The most uncertain frames of the last round that survived a tenth of a replica's length."""
    n = round(exploration.restart_share * exploration.n_replicas)
    if n == 0 or here.number == 0:
        return []
    length_fs = exploration.n_steps * exploration.timestep_fs
    return survivable(Exploration.load(here.previous.explore), n, for_fs=length_fs / 10)


def _left(here: RoundFolder, strategy: Strategy, at_most: int | None) -> int | None:
    """What the budget leaves of a round's labels; None: all. A finished selection had what was left then."""
    made = read_manifest(here.select)
    if made is not None:
        kept = made.inputs.get("at_most")
        return kept if isinstance(kept, int) else None
    return at_most if at_most is not None and at_most < strategy.frames_per_round else None


def _held(into: Path, file: Path) -> list[Frame]:
    """The frames of a stage that grows; none of one that is made anew, in its own folder."""
    return read_frames(file, check=False) if into != file.parent and file.exists() else []


def _grown(
    start: Sequence[Frame],
    config: CampaignConfig,
    name: str,
    wanted: FrameSetConfig,
    old: list[Frame],
    *,
    others: Sequence[Frame],
) -> list[Frame]:
    """A frame set with what it lacks, drawn with a seed of its own; none of the `others` is in it."""
    more = wanted.frames - len(old)
    if more < 1:
        return old
    seed = seed_for(config.seed, "frames", name, *([len(old)] if old else []))
    try:
        with progress(f"{config.name}-frames", f"{name} frames", more, "frame") as done:
            made = make_frames(
                start,
                more,
                wanted.source,
                seed=seed,
                exclude=[*old, *others],
                for_test=name != "initial",
                progress=lambda count, _: done(count),
            )
        return [*old, *made]
    except (ValueError, ImportError, OSError) as error:
        raise CampaignError(f"the frames cannot be made: {error}") from error


def _refuse_what_cannot_move(initial: Sequence[Frame], scheme: Scheme) -> None:
    """Frames from a file may have other cells than the structure; they are where exploration starts."""
    for frame in initial:
        try:
            scheme.check(frame)
        except ValueError as error:
            raise CampaignError(f"the exploration cannot start from an initial frame: {error}") from error


def frames_digest(frames: Sequence[Frame]) -> str:
    """Hash of the frames' ids, in order."""
    return hashlib.sha256("\n".join(frame.id for frame in frames).encode()).hexdigest()[:16]
