"""The cache of compiled kernels: what is damaged or could be another's is never loaded."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from potential.kernels import build
from potential.kernels.build import CompilerError

GOOD = 'extern "C" int answer() { return 42; }\n'
EVIL = 'extern "C" int answer() { return 666; }\n'
OTHER = 'extern "C" int question() { return 6 * 9; }\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ALNICO_CACHE", str(tmp_path / "cache"))
    build._warn_once.cache_clear()
    return tmp_path / "cache"


def load(source: str = GOOD, function: str = "answer"):
    """As another process would load it: nothing is remembered."""
    return build.load.__wrapped__(source, (function,))


def quietly() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load().answer()


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def plant(folder: Path, source: str, function: str = "answer") -> Path:
    """A sound library of another source, in the place of the good one."""
    load()
    good = only(folder)
    load(source, function)
    (other,) = set(folder.iterdir()) - {good}
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    place = folder / f"{good.stem.split('-')[0]}-{digest}.so"
    shutil.copyfile(other, place)
    place.chmod(0o644)
    good.unlink()
    other.unlink()
    return place


def overwrite(path: Path, content: bytes) -> None:
    """In a new file: this process has the old one mapped and would die of it."""
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


def give_away(path: Path, monkeypatch) -> None:
    """Let `path` belong to another user: for root by chown, else by being another oneself."""
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


def test_a_library_is_kept_and_used_again(folder):
    assert quietly() == 42
    first = only(folder).stat()
    assert quietly() == 42
    assert only(folder).stat().st_ino == first.st_ino
    assert stat.S_IMODE(first.st_mode) == 0o644
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("size", [0, 0.01, 0.5, 0.99])
def test_a_truncated_library_is_compiled_anew(folder, size):
    quietly()
    path = only(folder)
    whole = path.read_bytes()
    overwrite(path, whole[: int(size * len(whole))])
    assert quietly() == 42
    assert only(folder).read_bytes() == whole


def test_an_altered_library_is_compiled_anew(folder):
    quietly()
    path = only(folder)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    overwrite(path, bytes(whole))
    assert quietly() == 42
    assert only(folder).read_bytes() != whole


def test_a_library_without_its_function_is_compiled_anew(folder):
    plant(folder, OTHER, "question")
    assert quietly() == 42
    assert quietly() == 42
    assert len(list(folder.iterdir())) == 1


def test_a_planted_library_would_be_loaded_if_it_were_ours(folder):
    """What the following tests rest on: the planted one is sound but for its owner and mode."""
    plant(folder, EVIL)
    assert quietly() == 666


def test_the_library_of_another_user_is_not_executed(folder, monkeypatch):
    give_away(plant(folder, EVIL), monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever is not root does not own the folder either, here
        assert load().answer() == 42


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_library_that_others_may_write_to_is_not_executed(folder, mode):
    plant(folder, EVIL).chmod(mode)
    assert quietly() == 42


def test_a_link_is_not_followed(folder, tmp_path):
    planted = plant(folder, EVIL)
    planted.rename(tmp_path / "elsewhere")
    planted.symlink_to(tmp_path / "elsewhere")
    assert quietly() == 42


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(folder, mode):
    planted = plant(folder, EVIL)
    folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match=f"chmod go-w {folder}"):
        assert load().answer() == 42
    assert quietly() == 42, "one warning is enough"
    assert only(folder) == planted


def test_a_folder_of_another_user_is_not_used(folder, monkeypatch):
    plant(folder, EVIL)
    give_away(folder, monkeypatch)
    with pytest.warns(RuntimeWarning, match=r"belongs to another user .* ALNICO_CACHE"):
        assert load().answer() == 42


def test_a_folder_that_others_may_rename_is_not_used(folder):
    plant(folder, EVIL)
    folder.parent.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"chmod go-w {folder.parent}"):
        assert load().answer() == 42
    folder.parent.chmod(0o1777)
    assert quietly() == 666, "there nobody can"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize(("owner", "group", "mode"), [(0, 12345, 0o775), (12345, 0, 0o755)])
def test_a_folder_that_a_group_or_another_owner_may_rename_is_not_used(folder, owner, group, mode):
    plant(folder, EVIL)
    os.chown(folder.parent, owner, group)
    folder.parent.chmod(mode)
    with pytest.warns(RuntimeWarning, match=f"{folder.parent}.*ALNICO_CACHE"):
        assert load().answer() == 42


def test_a_cache_that_is_a_file_or_a_link_to_itself_is_told(folder, monkeypatch):
    folder.write_text("")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert load().answer() == 42
    folder.with_name("loop").symlink_to("loop")
    monkeypatch.setenv("ALNICO_CACHE", str(folder.with_name("loop") / "x"))
    with pytest.warns(RuntimeWarning, match="cannot be kept.*loop"):
        assert load().answer() == 42


@pytest.mark.parametrize("content", ["#!/bin/sh\nexec sleep 60\n", "no program"])
def test_a_compiler_that_hangs_or_is_none_is_named(content, folder, tmp_path, monkeypatch):
    compiler = tmp_path / "cxx"
    compiler.write_text(content)
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(build, "VERSION_S", 0.2)
    with pytest.raises(CompilerError, match=f"{compiler} .*; set CXX to another compiler"):
        load()


def test_where_nothing_can_be_loaded_from_the_folder_it_is_said(folder, monkeypatch):
    opened = build._open
    monkeypatch.setattr(
        build, "_open", lambda path, names: None if path.parent == folder else opened(path, names)
    )
    with pytest.warns(
        RuntimeWarning, match=f"nothing can be loaded from {folder}, as where it is mounted noexec"
    ):
        assert load().answer() == 42


def test_where_no_folder_can_be_made_a_temporary_one_is_used(folder, monkeypatch):
    monkeypatch.setenv("ALNICO_CACHE", "/dev/null/cache")
    with pytest.warns(RuntimeWarning, match="cannot be kept.*/dev/null/cache"):
        assert load().answer() == 42


def test_without_a_home_a_temporary_folder_is_used(folder, monkeypatch):
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("ALNICO_CACHE")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.warns(RuntimeWarning, match=r"home directory.*ALNICO_CACHE"):
        assert load().answer() == 42


def test_without_any_folder_the_error_names_the_remedy(folder, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    with pytest.raises(CompilerError, match="set TMPDIR"):
        load()


@pytest.mark.slow
def test_processes_that_build_at_once_leave_one_library(folder):
    code = f"from potential.kernels.build import load; assert load({GOOD!r}, ('answer',)).answer() == 42"
    runs = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(3)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    assert only(folder).suffix == ".so"
