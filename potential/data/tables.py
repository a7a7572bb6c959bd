"""The CSV tables that a campaign keeps, read back. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

WORDS = (
    *("frame_id", "start_frame_id", "formula", "symbol", "verdict", "reason", "stop_reason", "decision"),
    *("stage", "outcome", "kind", "message", "advice"),
)
NOTHING = ("", "nan", "NaN")
"""Where a number is not there."""
FORCES_OF_ATOMS = ("frame_id", "fx", "fy", "fz", "fx_ref", "fy_ref", "fz_ref")
"""What every table of an evaluation's atoms has."""


class DamagedTableError(ValueError):
    """A table that cannot be read; the message says what to do with it."""

    def __init__(self, path: Path, why: object) -> None:
        said = (str(why).strip().splitlines() or ["no reason given"])[0][:200]
        super().__init__(
            f"{path} is damaged ({said}). Put the original back, or delete {path.parent} to make the stage "
            "anew; labels stay in the store."
        )


def read_table(path: Path, *, needs: Iterable[str] = (), as_text: bool = False) -> pd.DataFrame:
    """A table; ids and words as text (an id such as 12e45... is no number), empty where there is none.

    Args:
        path: the CSV file.
        needs: columns that it must have.
        as_text: take every cell as it is written.

    Raises:
        DamagedTableError: where it is no such table.
    """
    import pandas as pd

    how: dict[str, Any] = {"dtype": str} if as_text else {"dtype": dict.fromkeys(WORDS, str)}
    try:
        if not as_text:  # of words, NULL and the like are words
            numbers = set(pd.read_csv(path, nrows=0).columns) - {*WORDS}
            how["na_values"] = dict.fromkeys(numbers, NOTHING)
        table = pd.read_csv(path, keep_default_na=False, **how)
    except (ValueError, MemoryError) as error:  # pandas' errors of parsing are among the former
        raise DamagedTableError(path, error) from error
    if missing := [column for column in needs if column not in table]:
        raise DamagedTableError(path, f"it has no column {missing[0]}")
    if not as_text:
        _refuse_words_among_numbers(path, table)
    return table


def _refuse_words_among_numbers(path: Path, table: pd.DataFrame) -> None:
    from pandas.api.types import is_numeric_dtype

    for name, column in table.items():
        if name in WORDS or is_numeric_dtype(column):  # of booleans, too
            continue
        if wrong := [value for value in column.dropna() if not _is_number(value)]:
            raise DamagedTableError(path, f"{name} is {wrong[0]!r}, no number")


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return isinstance(value, bool)
    return True
