"""The frozen tests of a campaign with their labels."""

from __future__ import annotations

from flows.record.folder import CampaignFolder
from flows.record.roles import frozen_sets
from flows.record.rounds import OUTCOMES_FILE, read_outcomes
from flows.steps.labels import labelled_frames
from labeling.store import LabelStore
from potential.data.dataset import Dataset


def frozen_tests(folder: CampaignFolder) -> dict[str, Dataset]:
    """Those that are labelled, by name (`test`, `broad`): what every round is measured on."""
    store, level = LabelStore(folder.label_store), folder.config.level
    stages = {"test": folder.first_labels, "broad": folder.broad_labels}
    return {
        name: labelled_frames(frames, read_outcomes(outcomes), store, level)
        for name, frames in frozen_sets(folder).items()
        if (outcomes := stages[name] / OUTCOMES_FILE).exists()
    }
