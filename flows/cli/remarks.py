"""Remarks of the readers on a user's file, as lines on the terminal."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from potential.data.notes import StructureWarning


@contextmanager
def remarks_on_terminal() -> Iterator[None]:
    """Each different `StructureWarning` is printed once; other warnings go their usual way."""
    seen: set[str] = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, StructureWarning):
                usual(message, category, filename, lineno, file, line)
            elif str(message) not in seen:
                seen.add(str(message))
                print(f"note: {message}", file=sys.stderr, flush=True)

        warnings.simplefilter("always", StructureWarning)
        warnings.showwarning = show
        yield
