"""Labels of other programs, on a person's word: taken in, told apart, and waited for."""

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase.calculators.singlepoint import SinglePointCalculator

from flows.cli.app import run_command
from flows.errors import LabelsAwaitedError
from flows.record.folder import CampaignFolder
from labeling.foreign_level import ForeignLevel
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from potential.data.dataset import LabelledFrame
from potential.data.frame import Frame
from potential.data.structure_files import read_frames, write_frames

ELSEWHERE = ForeignLevel(name="another program's LJ")


def triangles(n: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    triangle = np.array([[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [1.9, 3.3, 0.0]])
    return [Frame.of([18] * 3, triangle + rng.normal(0, 0.1, (3, 3))) for _ in range(n)]


def write_elsewhere(path: Path, frames: list[Frame], *, push: float = 0.0) -> None:
    """As another program has it: energies and forces, and no word of a level. `push`: a net force, eV/Å."""
    images = []
    for frame in frames:
        label, atoms = compute(frame, LennardJonesLevel()), frame.to_atoms()
        atoms.calc = SinglePointCalculator(atoms, energy=label.energy, forces=label.forces + push)
        images.append(atoms)
    ase.io.write(path, images, format="extxyz")


def bring(source: Path, file: Path, *more: str, vouch: str = ELSEWHERE.name) -> int:
    return run_command(["labels", "import", str(source), str(file), "--vouch", vouch, *more])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere.extxyz"
    write_elsewhere(path, triangles(3))
    return path


def test_they_are_kept_with_the_word_for_them_and_are_sound(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "labels.db"
    assert bring(store, elsewhere) == 0
    assert "3 new labels of another program's LJ, on your word" in capsys.readouterr().out
    items = list(LabelStore(store))
    assert {item.label.level_key for item in items} == {ELSEWHERE.key}
    word = items[1].label.provenance["vouched"]
    assert (word["file"], word["structure"], len(word["sha256"])) == ("elsewhere.extxyz", 1, 64)
    assert items[0].label.energy == pytest.approx(compute(items[0].frame, LennardJonesLevel()).energy)
    assert run_command(["labels", "verify", str(store)]) == 0
    assert "all sound" in capsys.readouterr().out


def test_another_word_needs_another_store(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "labels.db"
    bring(store, elsewhere)
    assert bring(store, elsewhere, vouch="a third program") == 2
    assert "'a third program' need a store of their own" in capsys.readouterr().err


def test_a_net_force_is_refused_and_taken_on_the_same_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, file = tmp_path / "labels.db", tmp_path / "pushed.extxyz"
    write_elsewhere(file, triangles(2), push=0.1)
    assert bring(store, file) == 2
    assert "net_force_eV_per_angstrom 0.52 is above" in capsys.readouterr().err
    assert bring(store, file, "--unchecked") == 0
    assert run_command(["labels", "verify", str(store)]) == 0
    assert len(LabelStore(store)) == 2


def test_labels_that_say_their_level_need_no_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, level = tmp_path / "ours.extxyz", LennardJonesLevel()
    write_frames(file, [LabelledFrame(frame=f, label=compute(f, level)) for f in triangles(1)])
    assert bring(tmp_path / "labels.db", file) == 2
    assert "import it without --vouch" in capsys.readouterr().err


def test_levels_that_differ_are_told_by_their_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, file = tmp_path / "labels.db", tmp_path / "other.extxyz"
    (frame, other), level = triangles(2), LennardJonesLevel(cutoff_angstrom=7.0)
    LabelStore(store).add(frame, compute(frame, LennardJonesLevel()))
    write_frames(file, [LabelledFrame(frame=other, label=compute(other, level))])
    assert run_command(["labels", "import", str(store), str(file)]) == 2
    assert "(cutoff_angstrom 7.0, not 8.5)" in capsys.readouterr().err
    LabelStore(store).add(other, compute(other, level))
    assert run_command(["labels", "export", str(store), str(tmp_path / "x.extxyz")]) == 2
    said = capsys.readouterr().err
    assert "cutoff_angstrom 7.0" in said
    assert "cutoff_angstrom 8.5" in said


@pytest.fixture
def waiting(tmp_path: Path, write_lj_campaign: Callable[..., Path], elsewhere: Path) -> CampaignFolder:
    """A campaign without a labeler that was stopped with three frames to be labelled."""
    path = write_lj_campaign(tmp_path, level=ELSEWHERE.model_dump())
    content = yaml.safe_load(path.read_text()) | {"structure": {"files": str(elsewhere)}}
    path.write_text(yaml.safe_dump(content))
    folder = CampaignFolder.open(path)
    folder.path.mkdir(parents=True)
    folder.write_config()
    write_frames(folder.to_label, triangles(3))
    return folder


def test_what_is_still_awaited_is_said_and_may_be_given_up(
    waiting: CampaignFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = tmp_path / "one.extxyz"
    write_elsewhere(one, triangles(1))
    assert bring(waiting.path, one) == 0
    assert "2 of the 3 frames" in capsys.readouterr().out
    assert run_command(["status", str(waiting.path)]) == 0
    assert "waits for labels of 3 frames" in capsys.readouterr().out
    assert bring(waiting.path, one, "--rest-failed") == 0
    assert "2 frames without a label are given up" in capsys.readouterr().out
    assert LabelStore(waiting.label_store).counts() == {"labelled": 1, "not_made": 2}
    assert bring(waiting.path, one, vouch="VASP") == 2
    assert "labeler: none, name: VASP" in capsys.readouterr().err


@pytest.mark.slow
def test_a_campaign_without_a_labeler_learns_explores_and_waits(
    tmp_path: Path, write_lj_campaign: Callable[..., Path], prefect_url: str
) -> None:
    from flows.campaign.loop import run_campaign

    path = write_lj_campaign(tmp_path, level=ELSEWHERE.model_dump())
    folder, file = CampaignFolder.open(path), tmp_path / "made.extxyz"
    for n, rounds in ((10, 0), (4, 0)):
        with pytest.raises(LabelsAwaitedError, match=f"{n} of {n} frames"):
            run_campaign(path)
        assert len(folder.results()) == rounds
        write_elsewhere(file, read_frames(folder.to_label))
        assert bring(path, file) == 0
    run_campaign(path)
    assert [result.n_labels for result in folder.results()] == [6, 10]
    assert not folder.to_label.exists()
