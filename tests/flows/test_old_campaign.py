"""A campaign that version 0.1.0 finished, as it left it: today's version reads it and goes on."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
import yaml

from flows.campaign.loop import run_campaign
from flows.cli.app import run_command
from flows.record.folder import CampaignFolder
from labeling.store import LabelStore

OLD = Path(__file__).parent / "data" / "campaign-0.1.0.tar.gz"
REDONE = ("evaluate", "result.json")
"""What only gathers is measured anew, since there is more to measure."""


def kept(folder: CampaignFolder) -> dict[Path, str]:
    files = [path for path in folder.path.glob("rounds/0[01]/**/*") if path.is_file()]
    files += [path for stage in (folder.frames, folder.first_labels) for path in stage.iterdir()]
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not {*path.relative_to(folder.path).parts} & {*REDONE}
    }


@pytest.mark.whole
@pytest.mark.usefixtures("prefect_url", "one_mlflow_store")
def test_it_goes_on_and_computes_nothing_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(OLD) as tar:
        tar.extractall(tmp_path, filter="data")
    file = tmp_path / "lj.yaml"
    folder = CampaignFolder.open(file)
    old = [json.loads((folder.round(n).path / "result.json").read_text()) for n in (0, 1)]
    assert "train_seconds" in old[0]  # all numbers side by side, as they were then
    assert run_command(["status", str(file)]) == 0
    assert "finished; 14 labels" in capsys.readouterr().out
    before, labels = kept(folder), {item.frame.id for item in LabelStore(folder.label_store)}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"rounds": 2}))
    run_campaign(file)
    folder = CampaignFolder.open(file)
    results = folder.results()
    assert [result.round for result in results] == [0, 1, 2]
    for then, now in zip(old, results, strict=False):
        assert (now.n_labels, now.training.seconds) == (then["n_labels"], then["train_seconds"])
        assert now.test.force_mae == pytest.approx(then["test"]["force_mae"], rel=1e-4)
    assert {path: digest for path, digest in kept(folder).items() if path in before} == before
    new = set(labels_of(folder)) - labels
    assert len(new) == results[1].labels.n_labelled > 0
    assert labels < set(labels_of(folder))


def labels_of(folder: CampaignFolder) -> list[str]:
    return [item.frame.id for item in LabelStore(folder.label_store)]
