"""Remarks of the readers on a user's file, and warnings of ours, as lines on the terminal."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from potential.data.notes import StructureWarning

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / package}{os.sep}" for package in ("potential", "exploration", "labeling", "flows"))


@contextmanager
def remarks_on_terminal() -> Iterator[None]:
    """Each different remark and warning of ours is printed once; those of other packages go their way."""
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
            remark = issubclass(category, StructureWarning)
            if not (remark or filename.startswith(OURS)):
                usual(message, category, filename, lineno, file, line)
            elif str(message) not in seen:
                seen.add(str(message))
                print(f"{'note' if remark else 'warning'}: {message}", file=sys.stderr, flush=True)

        warnings.simplefilter("always", StructureWarning)
        warnings.showwarning = show
        yield
