"""What a potential has learned from is kept beside it."""

from pathlib import Path

import pytest

from potential.roles import Roles, unlearned
from tests.support.systems import labelled, water


def test_there_and_back(tmp_path: Path) -> None:
    made = Roles.made(train=["12e45678", "a"], held_out=["b"], test=["c", "a"])
    made.save(tmp_path)
    found = Roles.load(tmp_path)
    assert found == made
    assert found.ids("train") == ["a", "12e45678"]
    assert (found.ids("held_out"), found.ids("test")) == (["b"], ["c"])


def test_a_potential_of_an_older_version_says_nothing(tmp_path: Path) -> None:
    assert Roles.load(tmp_path) is None
    assert unlearned(tmp_path, labelled(water(0))) is None


def test_what_was_not_trained_on_is_left(tmp_path: Path) -> None:
    labels = labelled(*(water(i) for i in range(4)))
    ids = [frame.id for frame in labels.frames]
    Roles.made(train=ids[:1], held_out=ids[1:2], test=ids[2:3]).save(tmp_path)
    assert unlearned(tmp_path, labels).frames == labels.frames[1:]


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "frames.csv").write_text("frame_id,role\na,trial\n")
    with pytest.raises(ValueError, match=r"frames\.csv: unknown role trial; it is one of train, "):
        Roles.load(tmp_path)
    (tmp_path / "frames.csv").write_text("frame\na\n")
    with pytest.raises(ValueError, match="is damaged"):
        Roles.load(tmp_path)
