"""Before a campaign goes on: what was set otherwise when its finished parts were made?

| setting | what becomes of it |
|---|---|
| training, exploration, selection, arms | finished rounds stay; the new values count from the next round on |
| test.frames, test_broad.frames | more are drawn and labelled; every round is scored anew, none trained |
| level | the frames are labelled anew, the rounds begin anew; the old ones stay in `earlier/` |
| rounds | fewer: those beyond stay on disk, the potential is published from the rest |

Each is asked for, with what it costs, and kept in `changes.json`. Any other change stops at its stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flows.campaign.stopping import seconds_per_label
from flows.errors import ChangedMindError, ConfigError
from flows.record.begin_anew import finish_moving, keep_for_anew, labelled_ids
from flows.record.changes import (
    BY_ROUND,
    Change,
    Changes,
    in_force,
    read_changes,
    section_kept,
    section_of,
    write_changes,
)
from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.stage_inputs import difference
from flows.record.stages import is_finished
from flows.views.duration import duration
from flows.views.summary import champion_round
from labeling.differences import differences, recorded_level

STAGE_OF = {"training": "train", "exploration": "explore", "selection": "select", "arms": "select"}


def settle(folder: CampaignFolder, *, accept: bool = False) -> tuple[str, ...]:
    """Keep what changed since the campaign last ran, or ask; returns what changed, a line each.

    Nobody else may work on the campaign meanwhile.

    Args:
        accept: the changes are wanted, with what they cost.

    Raises:
        ChangedMindError: for changes that concern what is finished, unless they are accepted.
    """
    kept = read_changes(folder.path) or Changes(now=_kept_settings(folder))
    finish_moving(folder, sum(change.begins_anew for change in kept.made))
    change, asks = pending(folder, kept)
    if change is None:
        if read_changes(folder.path) is None or kept.now != in_force(folder.config):
            write_changes(folder.path, Changes(now=in_force(folder.config), made=kept.made))
        return ()
    if asks and not accept:
        raise ChangedMindError(_question(folder, change.said))
    if change.begins_anew:
        from flows.campaign.start import start_frames  # and with it torch

        start_frames(folder)  # raises where the new level cannot label the structures
        keep_for_anew(folder, recorded_level(kept.now["level"]))
    now = Changes(now=in_force(folder.config), made=(*kept.made, change))
    write_changes(folder.path, now)
    finish_moving(folder, sum(change.begins_anew for change in now.made))
    return change.said


def pending(folder: CampaignFolder, kept: Changes | None = None) -> tuple[Change | None, bool]:
    """What changed since the settings that are in force, and whether that has to be accepted."""
    kept = kept or read_changes(folder.path) or Changes(now=_kept_settings(folder))
    at = datetime.now().astimezone().isoformat(timespec="minutes")
    if level := _level(folder, kept.now):
        return Change(at=at, said=(level,), begins_anew=True), True
    sections = dict(_sections(folder, kept.now))
    rest = [*_tests(folder, kept.now), *_rounds(folder, kept.now)]
    said = [line for lines, _ in sections.values() for line in lines] + [line for line, _ in rest]
    if not said:
        return None, False
    change = Change(
        at=at,
        said=tuple(said),
        was={name: kept.now[name] for name in sections},
        until={name: first for name, (_, first) in sections.items()},
    )
    return change, bool(sections) or any(asks for _, asks in rest)


def _kept_settings(folder: CampaignFolder) -> dict[str, Any]:
    """Of a campaign that an older version began, or that begins now."""
    try:
        was = folder.kept_config if folder.config_file.exists() else folder.config
    except ConfigError:  # of another version
        was = folder.config
    return in_force(was)


def _sections(folder: CampaignFolder, was: dict[str, Any]) -> Iterator[tuple[str, tuple[list[str], int]]]:
    """Sections that changed: what did, and the first round with the new values."""
    for name in BY_ROUND:
        before, now = section_kept(was.get(name), name), section_of(folder.config, name)
        if name == "arms":  # one that is new, or gone, changes no other
            before = {arm: strategy for arm, strategy in before.items() if arm in now}
            now = {arm: strategy for arm, strategy in now.items() if arm in before}
        first = _next(folder, STAGE_OF[name])
        if before != now and first > 0:
            lines = difference({name: before}, {name: now})
            yield name, ([f"{line}, from round {first} on" for line in lines], first)


def _next(folder: CampaignFolder, stage: str) -> int:
    """The first round in which no arm has finished a stage."""
    done = [here.number for arm in folder.arms for here in arm.begun() if is_finished(getattr(here, stage))]
    return max(done, default=-1) + 1


def _tests(folder: CampaignFolder, was: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    config = folder.config
    sets = {
        "test.frames": (config.test, folder.frames),
        "test_broad.frames": (config.test_broad, folder.broad_frames),
    }
    for name, (wanted, made) in sets.items():
        old = was.get(name)
        if wanted is None or not isinstance(old, int) or wanted.frames <= old or not is_finished(made):
            continue
        cost = _cost(folder, wanted.frames - old)
        yield f"{name}: was {old}, is now {wanted.frames}; {cost}; the finished rounds are scored anew", True


def _rounds(folder: CampaignFolder, was: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    old, now = was.get("rounds"), folder.config.rounds
    results = folder.main.results(up_to=10_000)
    if not isinstance(old, int) or old == now or not results:
        return
    kept = [result for result in results if result.round <= now]
    if len(kept) == len(results):
        yield f"rounds: was {old}, is now {now}", False
        return
    before, after = champion_round(results), champion_round(kept)
    yield (
        f"rounds: was {old}, is now {now}; those beyond stay on disk, the potential is published from round "
        f"{after.round} ({_error(after)} on the test set) instead of round {before.round} "
        f"({_error(before)})",
        True,
    )


def _level(folder: CampaignFolder, was: dict[str, Any]) -> str:
    """That the level of theory is another, and what that takes; "" where it is not."""
    now = folder.config.level
    try:
        before = recorded_level(was["level"])
    except (KeyError, ValidationError):
        return ""
    if before.key == now.key or not is_finished(folder.first_labels):
        return ""
    from labeling.store import LabelStore, is_there  # which load ASE's database

    found = labelled_ids(folder)
    known = 0
    if is_there(folder.label_store):
        store = LabelStore(folder.label_store)
        known = sum(store.get(frame_id, now.key) is not None for frame_id in found)
    rounds, earlier = len(folder.main.begun()), folder.earlier.name
    return (
        f"level: {'; '.join(differences(before, now))}; the {len(found)} frames that have a label get one at "
        f"the new level ({_cost(folder, len(found) - known, 'as the old ones')}), the old labels stay in the "
        f"store, the {rounds} rounds so far go to {earlier}/, and a new round 0 learns from all these frames "
        "but the test set"
    )


def _cost(folder: CampaignFolder, n: int, like: str = "as before") -> str:
    each = seconds_per_label(folder, folder.main.results())
    return f"{n} labels, about {duration(n * each)} of computing if each takes {like} {duration(each)}"


def _error(result: RoundResult) -> str:
    return f"{1000 * result.test.force_mae:.1f} meV/Å"


def _question(folder: CampaignFolder, said: tuple[str, ...]) -> str:
    return "\n".join(
        [
            f"{folder.config.name} has changed since it ran:",
            *(f"  {line}" for line in said),
            "`alnico run --accept-changes` goes on so, and keeps what is done; or put the settings back.",
        ]
    )
