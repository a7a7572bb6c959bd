"""What a deployment's parameters may name: they come from forms, so files below its working folder only."""

from __future__ import annotations

import os
from pathlib import Path

from flows.errors import ConfigError

SOURCE = "the deployment's parameters"


def below_working_folder(parameter: str, given: str) -> Path:
    """The path that a parameter names, absolute.

    Links are followed: whoever can make one there has more than a form.

    Raises:
        ConfigError: if it leads out of the working folder.
    """
    root = Path.cwd()
    path = Path(os.path.normpath(root / given))
    if "\0" in given or given != given.encode(errors="ignore").decode():  # half a surrogate, as JSON can hold
        raise ConfigError(SOURCE, [f"{parameter}: {given[:80]!r} is no name of a file"])
    if not path.is_relative_to(root):
        raise ConfigError(
            SOURCE,
            [f"{parameter}: {given!r} leads out of the working folder {root}; name a file in it"],
        )
    return path
