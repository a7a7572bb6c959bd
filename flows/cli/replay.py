"""Select again what a round has selected, from what lies in the campaign's folder, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exploration.ledger import Exploration
from exploration.selection import Selection, select
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.rounds import OUTCOMES_FILE, RoundFolder, read_outcomes
from flows.record.seeds import seed_for
from flows.record.stages import read_manifest
from potential.data.frame import Frame
from potential.data.structure_files import read_frames


def replay_selections(campaign: Path, *, round_number: int | None, arm: str) -> None:
    """Replay the selections of an arm, or of one of its rounds, and say whether they are the same.

    Raises:
        ConfigError: for an arm or round that is not there.
        CampaignError: where a selection differs from the one that was made.
    """
    folder = CampaignFolder.open(campaign)
    arms = {known.name: known for known in folder.arms}
    if arm not in arms:
        raise ConfigError(campaign, [f"no arm {arm!r}; its arms are {', '.join(arms)}"])
    done = [here for here in arms[arm].begun() if read_manifest(here.select) is not None]
    chosen = [here for here in done if round_number in (None, here.number)]
    if not chosen:
        made = ", ".join(str(here.number) for here in done) or "none"
        raise ConfigError(campaign, [f"no finished selection of round {round_number}; there are {made}"])
    different = [str(here) for here in chosen if not _same(folder, here)]
    if different:
        raise CampaignError(f"selected otherwise than before: {', '.join(different)}")


def _same(folder: CampaignFolder, here: RoundFolder) -> bool:
    from flows.steps.explore import frames_digest
    from flows.steps.train import load_committee

    manifest, kept = read_manifest(here.select), Selection.load(here.select)
    assert manifest is not None, "only finished selections are replayed"
    learned = list(learned_frames(folder, here))
    if frames_digest(learned) != manifest.inputs["learned"]:
        raise CampaignError(
            f"{here}: the labels that its selection knew cannot be found again in {folder.path}; "
            "was a folder of an earlier round deleted?"
        )
    left, strategy = manifest.inputs.get("at_most"), folder.strategy(here)
    again = select(
        Exploration.load(here.explore),
        descriptors=load_committee(folder, here).descriptors,
        training_frames=learned,
        strategy=strategy.model_copy(update={"frames_per_round": left})
        if isinstance(left, int)
        else strategy,
        seed=seed_for(folder.config.seed, "select", here.number),
    )
    same = [f.id for f in again.frames] == [f.id for f in kept.frames]
    said = "the same again" if same else "DIFFERENT"
    print(f"{here}: {len(kept.frames)} frames by {strategy.strategy}, {said}")
    if not same:
        for rank, (old, new) in enumerate(_pairs(kept.frames, again.frames), start=1):
            print(f"  pick {rank}: {old} then, {new} now" if old != new else f"  pick {rank}: {old}")
    return same


def learned_frames(folder: CampaignFolder, here: RoundFolder) -> Iterator[Frame]:
    """The frames with a label when the round was trained, in the order in which they came."""
    initial = read_frames(folder.initial_frames)
    known = {frame.id: frame for frame in initial}
    rounds = [here.arm.round(number) for number in range(here.number)]
    for earlier in rounds:
        known |= {frame.id: frame for frame in Selection.load(earlier.select).frames}
    given: set[str] = set()
    labelled = _labelled(folder.first_labels / OUTCOMES_FILE)
    for ids in ([f.id for f in initial if f.id in labelled], *(_labelled(r.outcomes) for r in rounds)):
        for frame_id in ids:
            if frame_id not in given:
                given.add(frame_id)
                yield known[frame_id]


def _labelled(path: Path) -> list[str]:
    outcomes = read_outcomes(path)
    return list(outcomes.loc[outcomes["outcome"] == "labelled", "frame_id"])


def _pairs(old: tuple[Frame, ...], new: tuple[Frame, ...]) -> Iterator[tuple[str, str]]:
    for i in range(max(len(old), len(new))):
        yield (old[i].id if i < len(old) else "nothing", new[i].id if i < len(new) else "nothing")
