"""A folder of compiled libraries, from which only what can be trusted is taken.

A library is code that this process runs. It is taken if folder and file belong to this user or to root, if
nobody else may write to them, and if its content has the SHA-256 that its name ends in: a file that was
cut short, altered, or put there by somebody else is compiled anew. The digest is part of the name, so that
one rename makes both visible, however many processes build at once.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from potential.data.user_cache import user_cache

NOBODY = 65534
"""Whoever has no number in this user namespace, as root outside a container."""


class UntrustedError(OSError):
    """Somebody else could have written this file or folder."""


@dataclass(frozen=True)
class LibraryCache:
    """Libraries in `folder`, which is made when the first is kept."""

    folder: Path

    @classmethod
    def of_user(cls) -> LibraryCache:
        """In $ALNICO_CACHE, else ~/.cache/alnico.

        Raises:
            OSError: there is no home directory, or a link leads to itself.
        """
        try:
            return cls(user_cache().resolve())  # a link might lead elsewhere a moment later
        except RuntimeError as error:
            raise OSError(str(error)) from error

    def find(self, identity: str) -> Path | None:
        """A library that was kept as `identity` and is as it was then.

        Raises:
            UntrustedError: the folder may be written to, or replaced, by others.
            OSError: the folder cannot be read.
        """
        try:
            self._check_place()
        except FileNotFoundError:
            return None
        for path in sorted(self.folder.glob(f"{identity}-*.so")):
            if _sound(path):
                return path
        return None

    def keep(self, built: Path, identity: str) -> Path:
        """Copy the library `built` into the folder, in place of what is there as `identity`; its path there.

        Raises:
            OSError: where the folder cannot be made or written to, or is not to be trusted.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_place()
        path = self.folder / f"{identity}-{_digest(built)}.so"
        with tempfile.TemporaryDirectory(dir=self.folder) as apart:
            copy = Path(apart) / path.name
            shutil.copyfile(built, copy)
            copy.chmod(0o644)
            os.replace(copy, path)
        for other in self.folder.glob(f"{identity}-*.so"):
            if other != path:
                other.unlink(missing_ok=True)
        return path

    def _check_place(self) -> None:
        _check(os.stat(self.folder), self.folder)
        for above in self.folder.parents:
            found = os.stat(above)
            if found.st_uid not in (0, os.geteuid(), NOBODY):
                raise UntrustedError(
                    f"{above} belongs to another user (id {found.st_uid}), who may rename it"
                )
            if found.st_mode & stat.S_ISVTX:
                continue
            if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and _has_others(found.st_gid)):
                raise UntrustedError(f"others may rename what is in {above}: chmod go-w {above}")


def _has_others(group: int) -> bool:
    """Whether more than this user may be in a group; many systems give each user one of their own."""
    try:
        me, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(group).gr_mem
    except KeyError:
        return True
    return group not in (0, me.pw_gid) or bool({*members} - {me.pw_name, "root"})


def _sound(path: Path) -> bool:
    try:
        found = os.lstat(path)
        _check(found, path)
        return stat.S_ISREG(found.st_mode) and path.stem.endswith(f"-{_digest(path)}")
    except OSError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check(found: os.stat_result, path: Path) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{path} belongs to another user (id {found.st_uid})")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UntrustedError(f"others may write to {path}: chmod go-w {path}")
