"""How far a campaign is, read from its folder; works while it runs and after it was stopped."""

from __future__ import annotations

from pathlib import Path

from flows.record.folder import CampaignFolder
from flows.record.lock import is_locked
from flows.record.review import awaited, waits
from flows.record.stages import is_finished, is_started
from flows.record.subject import subject_line
from flows.views.agreement import agreement_line
from flows.views.calibration import calibration_line
from flows.views.changes import changes_of
from flows.views.console import print_costs, print_rounds
from flows.views.disk import disk_line
from flows.views.forecast import time_left
from flows.views.label_costs import cost_table, label_costs
from flows.views.pretraining import pretraining_line
from flows.views.summary import champion_line
from labeling.store import LabelStore, is_there
from potential.data.structure_files import read_frames


def print_status(source: Path) -> None:
    """The round table, the stage it is in, the labels in the store and their cost, the verdict."""
    folder = CampaignFolder.open(source)
    print(f"campaign {folder.config.name} in {folder.path}\n{subject_line(folder)}")
    if not folder.config_file.exists():
        print(f"not started yet; `alnico run {source}` starts it")
        return
    print(f"{state_of(folder)}; {labels_of(folder)}")
    if remaining := time_left(folder):
        print(remaining)
    print()
    if taught := pretraining_line(folder):
        print(f"pretrained {taught}\n")
    main, *beside = folder.arms
    results = main.whole_results()
    print_rounds(results)
    if results and results[-1].calibration is not None:
        print(calibration_line(results[-1].calibration))
    if results and (agreed := agreement_line(folder, results[-1])):
        print(agreed)
    if len(results) > 1:
        print(champion_line(results))
    for arm in beside:
        print(f"\narm {arm.name}")
        print_rounds(arm.whole_results())
    print_costs(cost_table(label_costs(folder)))
    if changed := changes_of(folder):
        print("\n".join(["\nchanged while it ran", *(f"  {line}" for line in changed)]))
    print()
    if is_finished(folder.potential):
        print(f"potential  {folder.potential}\nreport     {folder.report}")
    print(f"disk       {disk_line(folder)}")


def state_of(folder: CampaignFolder) -> str:
    """`finished`, `running (process ...): round 2, training`, what it waits for, or where it stopped."""
    holder = is_locked(folder.path)
    stage, path = next(
        ((title, path) for title, path in folder.stages() if not is_finished(path)), ("report", None)
    )
    if holder is not None:
        return f"running ({holder}): {stage}"
    if is_finished(folder.potential):
        return "finished"
    if waiting := awaited(folder):
        return waits(folder, waiting)
    if folder.to_label.exists():
        frames = read_frames(folder.to_label, check=False)
        return f"waits for labels of {len(frames)} frames from elsewhere, in {folder.to_label}"
    begun = " (half done)" if path is not None and is_started(path) else ""
    return f"stopped before: {stage}{begun}; `alnico run` goes on from there"


def labels_of(folder: CampaignFolder) -> str:
    """Labels and failures in the store, at the campaign's level of theory."""
    if not is_there(folder.label_store):
        return "no labels yet"
    counts = LabelStore(folder.label_store).counts(folder.config.level.key)
    failed = {kind: count for kind, count in counts.items() if kind != "labelled"}
    said = ", ".join(f"{count} {kind}" for kind, count in failed.items())
    return f"{counts.get('labelled', 0)} labels" + (f", without label: {said}" if said else "")
