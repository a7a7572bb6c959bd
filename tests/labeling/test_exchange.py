import dataclasses
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from labeling.attempt import attempt
from labeling.exchange import export_labels, import_labels, read_labels
from labeling.failure import LabelFailure
from labeling.level import LennardJonesLevel, PySCFLevel
from labeling.statistics import statistics
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.molecules import molecule
from potential.data.structure_files import read_frames

LJ = LennardJonesLevel()


def argon(distance: float) -> Frame:
    return Frame.of([18, 18], [[0, 0, 0], [0, 0, distance]], origin={"round": 1, "note": 'it\'s "here"'})


def filled(path: Path, level: LennardJonesLevel = LJ) -> LabelStore:
    store = LabelStore(path)
    crystal = bulk("Ar", "fcc", a=5.2, cubic=True)
    crystal.rattle(0.1, seed=0)
    for frame in [*(argon(3.6 + 0.1 * i) for i in range(4)), Frame.from_atoms(crystal)]:
        label = attempt(frame, level)
        assert isinstance(label, Label)
        store.add(frame, label)
    return store


def test_labels_come_back_with_units_and_provenance(tmp_path: Path) -> None:
    store, file = filled(tmp_path / "a.db"), tmp_path / "labels.extxyz"
    assert export_labels(store, file) == 5
    assert 'units="energy eV, forces eV/Angstrom' in file.read_text()
    other = LabelStore(tmp_path / "b.db")
    assert import_labels(other, file, LJ.key) == 5
    assert import_labels(other, file, LJ.key) == 0
    for before, after in zip(store, other, strict=True):
        assert after.frame == before.frame
        assert after.frame.origin == before.frame.origin
        assert after.label.energy == before.label.energy
        assert np.abs(after.label.forces - before.label.forces).max() < 1e-8
        assert (after.label.stress is None) == (before.label.stress is None)
        if before.label.stress is not None:
            assert np.abs(after.label.stress - before.label.stress).max() < 1e-9
        assert after.label.provenance == before.label.provenance
    assert verify(other).problems == ()


def test_a_dft_label_survives_the_journey(tmp_path: Path) -> None:
    store, level, frame = LabelStore(tmp_path / "a.db"), PySCFLevel(grid_level=1), molecule("H2O")
    label = attempt(frame, level)
    assert isinstance(label, Label)
    store.add(frame, label)
    export_labels(store, tmp_path / "x.extxyz")
    (item,) = read_labels(tmp_path / "x.extxyz")
    assert item.label.provenance == label.provenance
    assert item.label.energy == label.energy


def test_another_level_of_theory_is_refused_and_nothing_taken(tmp_path: Path) -> None:
    export_labels(filled(tmp_path / "a.db", LennardJonesLevel(cutoff_angstrom=7)), tmp_path / "x.extxyz")
    store = LabelStore(tmp_path / "b.db")
    with pytest.raises(ValueError, match=rf"made at Lennard-Jones.*, not at {LJ.key}"):
        import_labels(store, tmp_path / "x.extxyz", LJ.key)
    assert len(store) == 0


def test_files_without_provenance_or_altered_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.extxyz"
    file.write_text("2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1\nH 0 0 0 0 0 0\nH 0 0 1 0 0 0\n")
    with pytest.raises(ValueError, match="no label with its level of theory"):
        read_labels(file)
    export_labels(filled(tmp_path / "a.db"), file)
    file.write_text(file.read_text().replace("3.60000000", "3.61000000", 1))
    with pytest.raises(ValueError, match="was altered"):
        read_labels(file)


def test_labels_are_read_as_strictly_as_other_files(tmp_path: Path) -> None:
    file = tmp_path / "x.extxyz"
    export_labels(filled(tmp_path / "a.db"), file)
    whole = file.read_text()
    for fault, said in {
        whole.replace("\n2\n", "\n\n2\n", 1): "is empty and line",
        whole.replace('pbc="F F F"', "pbc=none", 1): "pbc is 'none'",
        re.sub(r"frame_id=\S+", "frame_id=123456789012345e6", whole, count=1): "it says 123456789012345e6",
        re.sub(r"charge=0", "charge=-1", whole, count=1): "was altered|impossible",
    }.items():
        assert fault != whole
        file.write_text(fault)
        with pytest.raises(ValueError, match=said):
            read_labels(file)


def test_an_unsound_label_is_not_imported(tmp_path: Path) -> None:
    frame = argon(3.6)
    label = attempt(frame, LJ)
    assert isinstance(label, Label)
    store = LabelStore(tmp_path / "a.db")
    store.add(frame, dataclasses.replace(label, forces=label.forces + 0.1))
    export_labels(store, tmp_path / "x.extxyz")
    with pytest.raises(ValueError, match="net_force"):
        import_labels(LabelStore(tmp_path / "b.db"), tmp_path / "x.extxyz", LJ.key)
    assert "net_force" in verify(store).problems[0]


def test_statistics_count_labels_failures_and_seconds(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    frame = argon(9.0)
    store.add_failure(
        frame, LabelFailure(frame_id=frame.id, level_key=LJ.key, kind="timeout", message="slow", seconds=7.0)
    )
    (found,) = statistics(store)
    assert found.labels == 5
    assert found.failures == {"timeout": 1}
    assert LJ.key in found.level
    assert "Lennard-Jones" in found.level
    assert found.seconds["failures"] == 7.0
    assert found.seconds["total"] == pytest.approx(sum(i.label.provenance["seconds"] for i in store))


def test_verify_finds_what_was_altered(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    assert verify(store).problems == ()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE systems SET charge = charge, positions = zeroblob(48) WHERE id = 1")
    assert any("was altered" in problem for problem in verify(store).problems)


def test_verify_finds_a_label_of_another_level(tmp_path: Path) -> None:
    store, frame = LabelStore(tmp_path / "a.db"), argon(3.7)
    label = attempt(frame, LennardJonesLevel(cutoff_angstrom=7))
    assert isinstance(label, Label)
    store.add(frame, dataclasses.replace(label, level_key=LJ.key))
    assert "tells another level" in verify(store).problems[0]


def test_the_users_words_and_fixed_atoms_go_through_store_export_and_import(tmp_path):
    info = {"my_id": "007", "weights": [1, 2.5], "nested": {"1": None}}
    frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]], fixed=[1], info=info)
    store = LabelStore(tmp_path / "a.db")
    label = attempt(frame, LJ)
    assert isinstance(label, Label)
    store.add(frame, label)
    export_labels(store, tmp_path / "a.extxyz")
    other = LabelStore(tmp_path / "b.db")
    import_labels(other, tmp_path / "a.extxyz", LJ.key)
    for where in (store, other):
        (item,) = where
        assert (item.frame.id, item.frame.fixed, item.frame.info) == (frame.id, (1,), info)
        assert verify(where).problems == ()
    (read,) = read_frames(tmp_path / "b.db")
    assert (read.id, read.fixed) == (frame.id, (1,))
    assert "frame_id" not in read.info
