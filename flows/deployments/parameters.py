"""What a deployment's parameters may name: they come from forms, so files below its working folder only."""

from __future__ import annotations

import os
from pathlib import Path

from flows.errors import ConfigError

LONGEST_NAME, LONGEST_PATH = 255, 2000
"""Bytes of a name that file systems take; characters of a path, well below their 4096 bytes."""
SOURCE = "the deployment's parameters"


def below_working_folder(parameter: str, given: str) -> Path:
    """The path that a parameter names, absolute.

    Links are followed: whoever can make one there has more than a form.

    Raises:
        ConfigError: if it leads out of the working folder, or no file can be called so.
    """
    root = Path.cwd()
    path = Path(os.path.normpath(root / given))
    if not _can_name_a_file(given):
        raise ConfigError(SOURCE, [f"{parameter}: {given[:80]!r} is no name of a file"])
    if not path.is_relative_to(root):
        raise ConfigError(
            SOURCE,
            [f"{parameter}: {given!r} leads out of the working folder {root}; name a file in it"],
        )
    return path


def _can_name_a_file(given: str) -> bool:
    """Neither a NUL, nor half a surrogate, as JSON can hold; within what file systems take."""
    try:
        parts = given.encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return "\0" not in given and len(given) <= LONGEST_PATH and max(map(len, parts)) <= LONGEST_NAME
