"""Where this user's programs keep what they can make anew. Free of torch."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """$ALNICO_CACHE, else ~/.cache/alnico; it need not be there.

    Raises:
        OSError: there is no home directory.
    """
    try:
        return Path(os.environ.get("ALNICO_CACHE") or "~/.cache/alnico").expanduser().absolute()
    except RuntimeError as error:
        raise OSError(str(error)) from error
