"""`alnico labels`: look into a label store, and take labels out and in."""

from __future__ import annotations

from pathlib import Path

from flows.cli.open_store import is_store, open_location, open_store
from flows.cli.single_steps import reading
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.views.summary import duration
from labeling.agreement import agreement
from labeling.cost import STAGES
from labeling.exchange import LevelStatistics, export_labels, import_labels, read_labels, statistics, verify
from potential.data.structure_files import read_dataset


def export_to(source: Path | str, file: Path) -> None:
    """Write all labels of a store as extxyz, with units and provenance."""
    print(f"wrote {export_labels(open_store(source), file)} labels to {file}")


def import_from(source: Path | str, file: Path) -> None:
    """Take labels of the same level of theory into a store.

    The level is the campaign's; that of a store by itself is the one of its labels, or, while it is
    empty, the file's.

    Raises:
        ConfigError: for a file that is none of ours, or labels of another level.
    """
    if is_store(source):
        store = open_location(source)
        with reading(file):
            keys = {i.label.level_key for i in store} or {i.label.level_key for i in read_labels(file)}
        if len(keys) != 1:
            raise ConfigError(source, [f"labels of {len(keys)} levels, {sorted(keys)}; give a campaign"])
        (level_key,) = keys
    else:
        folder = CampaignFolder.open(Path(source))
        store, level_key = open_location(folder.label_store), folder.config.level.key
    with reading(file):
        new = import_labels(store, file, level_key)
    print(f"{new} new labels; labels that were there already are kept")


def print_statistics(source: Path | str) -> None:
    """Print, for each level of theory, what there is and what it cost."""
    found = statistics(open_store(source))
    print("\n\n".join(map(_lines, found)) or "no labels yet")


def verify_store(source: Path | str) -> None:
    """Read and check every label anew.

    Raises:
        CampaignError: if anything is wrong, with one line for each fault.
    """
    store = open_store(source)
    problems = verify(store)
    if problems:
        raise CampaignError("\n".join([f"{source}: {len(problems)} problems", *problems]))
    print(f"{len(store)} labels, all sound")


def print_agreement(file: Path, reference: Path, *, energy: str, forces: str) -> None:
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
