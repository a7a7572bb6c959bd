"""Label stages on Dask: workers that die cost attempts, and a frame that kills them ends in quarantine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prefect import flow

from flows.record.folder import CampaignFolder
from flows.record.table import FIRST_LABELS
from flows.steps.labels import LabelTally, label_frames
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.frame import Frame

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_url", "one_mlflow_store"),
    pytest.mark.timeout(900),
]

# Python imports `sitecustomize` when it starts: in a label process it kills the Dask worker above, which
# is its parent, for the frames that a file names; each as often as the file says.
KILLS_ITS_WORKER = """
import os, signal, sys, time
if "labeling.child" in sys.orig_argv:
    from pathlib import Path
    from labeling import lennard_jones
    compute = lennard_jones.compute
    def deadly(frame, level):
        lives = Path(os.environ["DEADLY"]) / frame.id
        if lives.exists():
            left = int(lives.read_text())
            if left:
                lives.write_text(str(left - 1))
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
        return compute(frame, level)
    lennard_jones.compute = deadly
"""


def argon(seed: int) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Frame.of([18] * 3, positions + np.random.default_rng(seed).normal(0, 0.1, (3, 3)))


def test_a_killed_worker_costs_one_attempt_and_a_deadly_frame_ends_in_quarantine(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly").mkdir()
    (tmp_path / "sitecustomize.py").write_text(KILLS_ITS_WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DEADLY", str(tmp_path / "deadly"))
    labeling = {"engine": "local_cluster", "workers": 2, "attempts": 2, "memory_GB": 0.5}
    campaign = CampaignFolder.open(write_lj_campaign(tmp_path, labeling=labeling))
    store = LabelStore(campaign.label_store)
    frames = [argon(seed) for seed in range(12)]
    # Its worker dies once. It is among the first, which are tasks of their own.
    (tmp_path / "deadly" / frames[0].id).write_text("1")
    (tmp_path / "deadly" / frames[7].id).write_text("1000")

    @flow
    def stage() -> LabelTally:
        return label_frames(
            campaign, FIRST_LABELS, campaign.first_labels, frames, store=store, description="labels"
        )

    tally = stage()
    assert tally.quarantined == (frames[7],)
    failure = store.failure(frames[7].id, LennardJonesLevel().key)
    assert failure is not None
    assert (failure.kind, failure.attempts) == ("crashed", 2)
    assert "died 2 times" in failure.message
    found = {item.frame.id: item.label for item in tally.labelled}
    assert len(found) == 11
    for frame in frames:
        if frame is not frames[7]:
            assert found[frame.id].energy == compute(frame, LennardJonesLevel()).energy
    assert found[frames[0].id].provenance["attempts"] == 2
    others = [label for id, label in found.items() if id != frames[0].id]
    # A label that Dask had put on the same worker dies with it; there were three deaths, of two workers.
    charged = [label.provenance.get("attempts", 1) - 1 for label in others]
    assert max(charged) <= 1
    assert sum(charged) <= 3
