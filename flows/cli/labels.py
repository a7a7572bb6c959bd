"""`alnico labels`: look into a label store, and take labels out and in."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from flows.cli.open_store import is_store, open_location, open_store
from flows.cli.output import require_output
from flows.cli.reading import reading
from flows.errors import CampaignError, ConfigError
from flows.views.duration import duration
from labeling.agreement import agreement
from labeling.cost import STAGES
from labeling.exchange import export_labels, import_labels, names_apart, read_labels
from labeling.location import without_passwords
from labeling.statistics import LevelStatistics, statistics
from labeling.store import LabelStore
from labeling.verify import Verification, verify
from potential.data.role import Role
from potential.data.structure_files import read_dataset

SHOWN = 12
"""Problems of a store that are told one by one."""


def export_to(source: Path | str, file: Path, level: str | None) -> None:
    """Write the labels of one level of theory as extxyz, with units, provenance, and a campaign's roles.

    Args:
        level: its key, or the first digits; None: the campaign's level, or the only one that a store has.

    Raises:
        ConfigError: for a store with labels of several levels, or none of this one.
    """
    require_output(file, reads=[source] if is_store(source) else [])
    store = open_store(source)
    level_key = _only_level(store, source, level)
    roles = {} if is_store(source) else _roles(Path(source))
    count = export_labels(store, file, level_key, roles=roles)
    frames = [] if level_key is None else store.frames(level_key)
    in_all = Counter(roles[frame.id] for frame in frames if frame.id in roles)
    said = ", ".join(f"{n} {role.replace('_', ' ')}" for role, n in sorted(in_all.items()))
    print(f"wrote {count} labels to {file}" + (f" (role: {said})" if said else ""))


def _roles(campaign: Path) -> Mapping[str, Role]:
    from flows.record.folder import CampaignFolder
    from flows.record.roles import campaign_roles

    return campaign_roles(CampaignFolder.open(campaign))


def _only_level(store: LabelStore, source: Path | str, asked: str | None) -> str | None:
    if asked is None and not is_store(source):
        from flows.record.folder import CampaignFolder

        return CampaignFolder.open(Path(source)).config.level.key
    found = [key for key in store.levels() if key.startswith(asked or "")]
    if len(found) == 1 or (asked is None and not found):
        return found[0] if found else None
    there = "; ".join(names_apart(store, store.levels())) or "none"
    problem = "labels of several levels of theory do not mix" if asked is None else f"--level {asked!r}"
    raise ConfigError(source, [f"{problem}; write --level and the first digits of one of: {there}"])


def import_from(source: Path | str, file: Path, *, any_composition: bool = False) -> None:
    """Take labels of the same level of theory into a store.

    The level is the campaign's; that of a store by itself is the one of its labels, or, while it is
    empty, the file's.

    Args:
        any_composition: take into a campaign's store what the campaign is not about, too.

    Raises:
        ConfigError: for a file that is none of ours, or labels of another level, composition or charge.
    """
    if is_store(source):
        store = open_location(source)
        with reading(file):
            keys = set(store.levels()) or {i.label.level_key for i in read_labels(file)}
        if len(keys) != 1:
            there = "; ".join(names_apart(store, sorted(keys)))
            raise ConfigError(source, [f"labels of {len(keys)} levels of theory; give a campaign: {there}"])
        (level_key,) = keys
        level = None
    else:
        from flows.record.folder import CampaignFolder
        from flows.record.subject import refuse_strangers

        folder = CampaignFolder.open(Path(source))
        level = folder.config.level
        store, level_key = open_location(folder.label_store), level.key
        if not any_composition:
            with reading(file):
                frames = [item.frame for item in read_labels(file)]
            refuse_strangers(folder, frames)
    with reading(file):
        new = import_labels(store, file, level_key, level=level)
    print(f"{new} new labels; labels that were there already are kept")


def print_statistics(source: Path | str) -> None:
    """Print, for each level of theory, what there is and what it cost."""
    found = statistics(open_store(source))
    print("\n\n".join(map(_lines, found)) or "no labels yet: the store is empty")


def verify_store(source: Path | str) -> None:
    """Read and check every label anew.

    Raises:
        CampaignError: if anything is wrong, with one line for each fault.
    """
    try:
        found = verify(open_store(source))
    except (sqlite3.Error, OSError) as error:
        found = Verification(problems=(f"it cannot be opened: {error}",))
    if found.problems:
        shown, more = found.problems[:SHOWN], len(found.problems) - SHOWN
        rest = [f"and {more} more"] if more > 0 else []
        count = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        raise CampaignError("\n".join([f"{without_passwords(source)}: {count}", *shown, *rest]))
    if not found.labels + found.failures:
        print("the store is empty: no labels, and nothing in quarantine")
        return
    quarantined = f"; {found.failures} in quarantine" if found.failures else ""
    print(f"{found.labels} labels, all sound{quarantined}")
    if found.deleted:
        print(
            f"{found.deleted} rows were deleted since it was made; `alnico quarantine relabel` does that, too"
        )
    if found.without_digest:
        print(
            f"{found.without_digest} rows without a digest (written by an older version): nobody can say "
            f"whether their values were altered. `alnico labels upgrade {without_passwords(source)}` adds it."
        )


def upgrade_store(source: Path | str) -> None:
    """Give the rows of an older version the digest that they lack, after they were checked.

    Raises:
        CampaignError: if anything is wrong with the store.
    """
    verify_store(source)
    added = open_store(source).add_digests()
    print(f"{added} rows have a digest now" if added else "every row has its digest")


def print_agreement(file: Path, reference: Path, *, energy: str | None, forces: str) -> None:
    """Print how far labels are from reference labels of the same structures.

    Raises:
        ConfigError: for a file without labels, or files that share no structure.
    """
    with reading(file):
        labels = read_dataset(file, file.name)
    with reading(reference):
        others = read_dataset(reference, reference.name, energy=energy, forces=forces)
        found = agreement(labels, others)
    alone = f", {found.n_alone} in one file only" if found.n_alone else ""
    print(
        f"{found.n_frames} frames compared{alone}\n"
        f"forces  MAE {1000 * found.force_mae:.2f}, RMSE {1000 * found.force_rmse:.2f}, "
        f"largest {1000 * found.largest_force_difference:.2f} meV/Å\n"
        f"energy  offset {1000 * found.energy_offset:.2f}, spread {1000 * found.energy_spread:.3f} meV"
    )


def _lines(level: LevelStatistics) -> str:
    seconds = level.seconds
    failed = ", ".join(f"{count} {kind}" for kind, count in level.failures.items()) or "none"
    mean = seconds["total"] / level.labels if level.labels else 0.0
    lines = [
        level.level,
        f"  labels      {level.labels}, {mean:.2f} s each, {duration(seconds['total'])} together",
        f"  quarantine  {failed}; {duration(seconds['failures'])} spent",
    ]
    if seconds["scf"]:
        rungs = ", ".join(f"{count} {rung}" for rung, count in level.rungs.items())
        stages = ", ".join(f"{name} {duration(seconds[s])}" for s, name in STAGES.items() if seconds[s])
        lines += [f"  stages      {stages}", f"  SCF ladder  {rungs}"]
    return "\n".join(lines)
