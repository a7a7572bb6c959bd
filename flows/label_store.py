"""`alnico labels`: look into a label store, and take labels out and in."""

from __future__ import annotations

from pathlib import Path

from flows.errors import CampaignError, ConfigError
from flows.folder import CampaignFolder
from flows.quarantine import open_store
from flows.summary import duration
from flows.tools import reading
from labeling.exchange import LevelStatistics, export_labels, import_labels, read_labels, statistics, verify
from labeling.store import LabelStore


def export_to(source: Path, file: Path) -> None:
    """Write all labels of a store as extxyz, with units and provenance."""
    print(f"wrote {export_labels(open_store(source), file)} labels to {file}")


def import_from(source: Path, file: Path) -> None:
    """Take labels of the same level of theory into a store.

    The level is the campaign's; that of a store by itself is the one of its labels, or, while it is
    empty, the file's.

    Raises:
        ConfigError: for a file that is none of ours, or labels of another level.
    """
    if source.suffix == ".db":
        store = LabelStore(source)
        with reading(file):
            keys = {i.label.level_key for i in store} or {i.label.level_key for i in read_labels(file)}
        if len(keys) != 1:
            raise ConfigError(source, [f"labels of {len(keys)} levels, {sorted(keys)}; give a campaign"])
        (level_key,) = keys
    else:
        folder = CampaignFolder.open(source)
        store, level_key = LabelStore(folder.label_store), folder.config.level.key
    with reading(file):
        new = import_labels(store, file, level_key)
    print(f"{new} new labels; labels that were there already are kept")


def print_statistics(source: Path) -> None:
    """Print, for each level of theory, what there is and what it cost."""
    found = statistics(open_store(source))
    print("\n\n".join(map(_lines, found)) or "no labels yet")


def verify_store(source: Path) -> None:
    """Read and check every label anew.

    Raises:
        CampaignError: if anything is wrong, with one line for each fault.
    """
    store = open_store(source)
    problems = verify(store)
    if problems:
        raise CampaignError("\n".join([f"{source}: {len(problems)} problems", *problems]))
    print(f"{len(store)} labels, all sound")


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
        lines += [
            f"  stages      SCF {duration(seconds['scf'])}, gradient {duration(seconds['gradient'])}",
            f"  SCF ladder  {rungs}",
        ]
    return "\n".join(lines)
