"""A stage that grows keeps what it held, whenever it is killed."""

import shutil
from pathlib import Path

import pytest

from flows.errors import StageChangedError
from flows.record.stages import Stage, is_finished

NUMBERS = Stage(name="numbers", title="numbers", inputs=("n", "seed"), outputs=("n.txt",), grows=("n",))


def grow(folder: Path, n: int, *, seed: int = 0, die: bool = False) -> None:
    def make(into: Path) -> None:
        held = (folder / "n.txt").read_text() if into != folder else ""
        (into / "n.txt").write_text(held + "x" * (n - len(held)))
        if die:
            raise KeyboardInterrupt

    NUMBERS.run(folder, {"n": n, "seed": seed}, make)


def test_it_grows_from_what_it_held(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    grow(folder, 2)
    grow(folder, 5)
    assert (folder / "n.txt").read_text() == "xxxxx"
    assert [path.name for path in tmp_path.iterdir()] == ["numbers"]


def test_it_does_not_shrink_nor_change_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    grow(folder, 2)
    with pytest.raises(StageChangedError, match="n: was 2, is now 1"):
        grow(folder, 1)
    with pytest.raises(StageChangedError, match="seed: was 0, is now 1"):
        grow(folder, 5, seed=1)


def test_killed_while_it_grows_it_is_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    grow(folder, 2)
    with pytest.raises(KeyboardInterrupt):
        grow(folder, 5, die=True)
    assert is_finished(folder)
    assert (folder / "n.txt").read_text() == "xx"
    grow(folder, 4)
    assert (folder / "n.txt").read_text() == "xxxx"


def test_killed_between_two_renames_the_old_one_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    grow(folder, 2)
    folder.rename(tmp_path / ".numbers.old")
    grow(folder, 2)
    assert (folder / "n.txt").read_text() == "xx"
    shutil.copytree(folder, tmp_path / ".numbers.old")
    grow(folder, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["numbers"]
