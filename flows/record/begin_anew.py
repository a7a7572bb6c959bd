"""The rounds begin anew at another level of theory; what was done at the old one stays, in `earlier/`.

Every frame that had a label is kept as a frame to learn from, or to test on, and gets one at the new level.
It can be killed at any moment: the frames are on disk before the change is kept, and what has not moved
when it is, moves in the next run.
"""

from __future__ import annotations

import shutil

from flows.record.changes import CHANGES_FILE
from flows.record.folder import TAKEN_OVER, CampaignFolder
from flows.record.rounds import read_outcomes
from flows.settings.template import commented_yaml
from labeling.level import LevelOfTheory
from potential.data.atomic_write import write_atomically

MOVING = ".moving"


def labelled_ids(folder: CampaignFolder) -> list[str]:
    """All frames with a label: of both test sets, the initial ones, and those of the rounds of every arm."""
    found = list[str]()
    for _, _, path in folder.label_stages():
        if path.exists() and path.parent != folder.isolated_atoms:
            outcomes = read_outcomes(path)
            found += outcomes.loc[outcomes["outcome"] == "labelled", "frame_id"].tolist()
    return list(dict.fromkeys(found))


def keep_for_anew(folder: CampaignFolder, old: LevelOfTheory) -> None:
    """Keep settings and labelled frames of the rounds at the `old` level; `finish_moving` moves the rest."""
    from flows.record.roles import frozen_frames  # these load pandas and ASE's readers
    from labeling.store import LabelStore
    from potential.data.structure_files import write_frames

    tests = {frame.id for frame in frozen_frames(folder)}
    learned = [frame_id for frame_id in labelled_ids(folder) if frame_id not in tests]
    with LabelStore(folder.label_store) as store:
        frames = store.dataset(learned, old.key).frames
    moving = folder.earlier / f"{len(list(folder.earlier.glob('[0-9]*'))) + 1:02d}{MOVING}"
    moving.mkdir(parents=True)
    if (folder.path / CHANGES_FILE).exists():
        shutil.copy2(folder.path / CHANGES_FILE, moving / CHANGES_FILE)
    was = folder.kept_config
    if was.labeling.store is None:  # the labels stay where they are
        here = was.labeling.model_copy(update={"store": "../../labels.db"})
        was = was.model_copy(update={"labeling": here})
    write_atomically(moving / folder.config_file.name, commented_yaml(was))
    for frame_set in (folder.frames, folder.broad_frames):
        if frame_set.exists():
            shutil.copytree(frame_set, moving / frame_set.name)
    write_frames(moving / TAKEN_OVER, frames)


def finish_moving(folder: CampaignFolder, begun_anew: int) -> None:
    """Move what belongs to the old level and has not moved yet.

    Args:
        begun_anew: how often the rounds began anew, by the changes that are kept; what is beyond was
            interrupted before it was kept, and is forgotten.
    """
    moved = [
        folder.main.rounds,
        folder.path / "arms",
        folder.first_labels,
        folder.broad_labels,
        folder.isolated_atoms,
        folder.guard,
        folder.potential,
        folder.report,
        folder.figures,
        folder.tracking,
    ]
    for moving in sorted(folder.earlier.glob(f"*{MOVING}")):
        if int(moving.stem) > begun_anew:
            shutil.rmtree(moving)
            continue
        for source in moved:
            target = moving / source.relative_to(folder.path)
            if source.exists() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        moving.rename(moving.with_suffix(""))
