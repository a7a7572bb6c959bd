"""How far a campaign is, read from its folder; works while it runs and after it was stopped."""

from __future__ import annotations

from pathlib import Path

from flows.record.folder import CampaignFolder
from flows.record.lock import is_locked
from flows.record.results import read_results
from flows.record.stages import is_finished, is_started
from flows.views.console import print_costs, print_rounds
from flows.views.label_costs import cost_table, label_costs
from labeling.store import LabelStore, is_there


def print_status(source: Path) -> None:
    """The round table, the stage it is in, the labels in the store and their cost, the verdict."""
    folder = CampaignFolder.open(source)
    print(f"campaign {folder.config.name} in {folder.path}")
    if not folder.config_file.exists():
        print(f"not started yet; `alnico run {source}` starts it")
        return
    print(f"{state_of(folder)}; {labels_of(folder)}\n")
    print_rounds(read_results(folder.path))
    print_costs(cost_table(label_costs(folder.path)))
    if (folder.potential / "config.json").exists():
        print(f"\npotential  {folder.potential}\nreport     {folder.report}")


def state_of(folder: CampaignFolder) -> str:
    """`finished`, `running (process ...): round 2, training`, or where it stopped."""
    holder = is_locked(folder.path)
    stage = next((name for name, path in stages(folder) if not is_finished(path)), None)
    if holder is not None:
        return f"running ({holder}): {stage or 'report'}"
    if is_finished(folder.potential):
        return "finished"
    begun = " (half done)" if stage and any(n == stage and is_started(p) for n, p in stages(folder)) else ""
    return f"stopped before: {stage or 'report'}{begun}; `alnico run` goes on from there"


def labels_of(folder: CampaignFolder) -> str:
    """Labels and failures in the store, at the campaign's level of theory."""
    if not is_there(folder.label_store):
        return "no labels yet"
    counts = LabelStore(folder.label_store).counts(folder.config.level.key)
    failed = {kind: count for kind, count in counts.items() if kind != "labelled"}
    said = ", ".join(f"{count} {kind}" for kind, count in failed.items())
    return f"{counts.get('labelled', 0)} labels" + (f", without label: {said}" if said else "")


def stages(folder: CampaignFolder) -> list[tuple[str, Path]]:
    """All stages that the configuration asks for, in order."""
    found = [("initial and test frames", folder.frames), ("initial and test labels", folder.labels)]
    for number in range(folder.config.rounds + 1):
        round_folder = folder.round(number)
        found += [
            (f"round {number}, training", round_folder.train),
            (f"round {number}, evaluation", round_folder.evaluate),
        ]
        if number < folder.config.rounds:
            found += [
                (f"round {number}, exploration", round_folder.explore),
                (f"round {number}, selection", round_folder.select),
                (f"round {number}, labels", round_folder.label),
            ]
    return found
