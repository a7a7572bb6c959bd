"""What a reader understood, or left alone, and the user should hear of."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path


class StructureWarning(UserWarning):
    """A remark on a structure file; the command line prints it as it is."""


class UnreadableStructureError(ValueError):
    """A structure file that its reader refuses; the message names it and says why."""


def tell(path: Path, notes: Iterable[str]) -> None:
    """One warning for each different note on a file."""
    for note in dict.fromkeys(notes):
        warnings.warn(f"{path}: {note}", StructureWarning, stacklevel=3)
