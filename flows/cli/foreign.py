"""`alnico labels import --vouch`: labels of other programs, on a person's word."""

from __future__ import annotations

from pathlib import Path

from flows.cli.open_store import is_store, open_location
from flows.cli.reading import reading
from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.record.subject import refuse_strangers
from labeling.exchange import known_level, names_apart
from labeling.failure import LabelFailure
from labeling.foreign_level import ForeignLevel
from labeling.level import LevelOfTheory
from labeling.store import LabelStore
from labeling.vouched import read_vouched
from potential.data.label_keys import LabelKeys
from potential.data.structure_files import read_frames


def import_vouched(
    source: Path | str,
    file: Path,
    vouch: str,
    *,
    keys: LabelKeys,
    charge: int | None = None,
    spin: int | None = None,
    unchecked: bool = False,
    any_composition: bool = False,
    rest_failed: bool = False,
) -> None:
    """Take labels of another program into a store, as labels of the level that `vouch` names.

    Args:
        source: a campaign, whose level of theory it has to be; or a store, which has none or this one.
        rest_failed: the frames that the campaign waits for, and that the file does not have, are given up.

    Raises:
        ConfigError: for a file without labels, unsound ones, or another level, composition or charge.
    """
    folder = None if is_store(source) else CampaignFolder.open(Path(source))
    store = open_location(source if folder is None else folder.label_store)
    level = _level_in_store(store, source, vouch) if folder is None else _level_of_campaign(folder, vouch)
    with reading(file):
        items = read_vouched(file, level, keys=keys, charge=charge, spin=spin, unchecked=unchecked)
    if folder is not None and not any_composition:
        refuse_strangers(folder, [item.frame for item in items])
    new = store.add_all(items)
    print(f"{new} new labels of {level.name}, on your word; labels that were there already are kept")
    if folder is not None and folder.to_label.exists():
        print(_still_awaited(folder, store, rest_failed=rest_failed))


def _level_of_campaign(folder: CampaignFolder, vouch: str) -> LevelOfTheory:
    level = folder.config.level
    if vouch in (level.name, level.key):
        return level
    raise ConfigError(
        f"--vouch {vouch!r}",
        [
            f"campaign {folder.config.name} learns from labels of {level.name!r}. If the file's are of that "
            f"level, write --vouch {level.name!r}; if not, they need a campaign of their own, with "
            f"`level: {{labeler: none, name: {vouch}}}`"
        ],
    )


def _level_in_store(store: LabelStore, source: Path | str, vouch: str) -> LevelOfTheory:
    there = {key: known_level(store, key) for key in store.levels()}
    named = [level for level in there.values() if level is not None and level.name == vouch]
    if named:
        return named[0]
    if there:
        names = "; ".join(names_apart(store, there))
        raise ConfigError(source, [f"has labels of {names}; labels of {vouch!r} need a store of their own"])
    with reading("--vouch"):
        return ForeignLevel(name=vouch)


def _still_awaited(folder: CampaignFolder, store: LabelStore, *, rest_failed: bool) -> str:
    frames, level = read_frames(folder.to_label, check=False), folder.config.level
    missing = [frame for frame in frames if store.get(frame.id, level.key) is None]
    run = f"`alnico run {folder.path}` goes on"
    if not missing:
        return f"all {len(frames)} frames that the campaign waited for have a label; {run}"
    if not rest_failed:
        return (
            f"{len(missing)} of the {len(frames)} frames in {folder.to_label} have no label yet; import "
            "them, or write --rest-failed to give them up"
        )
    for frame in missing:
        said = "no label came from elsewhere, and it was given up"
        store.add_failure(
            frame, LabelFailure(frame_id=frame.id, level_key=level.key, kind="not_made", message=said)
        )
    return f"{len(missing)} frames without a label are given up; {run}"
