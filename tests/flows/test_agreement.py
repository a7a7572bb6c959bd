"""Test frames on which the members agree, and are wrong."""

from pathlib import Path

import pandas as pd

from flows.record.folder import CampaignFolder
from flows.views.agreement import agreement, agreement_line
from flows.views.status import print_status


def test_frames_are_counted_by_their_worst_atom():
    atoms = pd.DataFrame(
        {
            "frame_id": ["a", "a", "b", "b", "c", "c"],
            "force_disagreement": [0.01, 0.05, 0.02, 0.09, 0.02, 0.5],
            "force_error": [0.01, 0.08, 0.3, 0.02, 0.9, 0.9],
        }
    )
    found = agreement(atoms, 0.1)
    assert (found.frames, found.agreed, found.wrong) == (3, 2, 1)


def test_status_says_how_many(finished_campaign: Path, capsys):
    folder = CampaignFolder.open(finished_campaign)
    said = agreement_line(folder, folder.results()[-1])
    assert said is not None
    print_status(finished_campaign)
    assert said in capsys.readouterr().out
