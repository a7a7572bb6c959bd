"""What a running campaign prints: one line per finished stage, bars only on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from flows.record.results import RoundResult
from flows.views.duration import duration
from flows.views.summary import BROAD_MAE, LEDGER, round_table, verdict


def say(text: str) -> None:
    """Print a line, and log it to the Prefect run it belongs to."""
    tqdm.write(text)
    _log(logging.INFO, text)


def warn(text: str) -> None:
    """Print a warning, and log it as one to the Prefect run it belongs to."""
    tqdm.write(f"  warning: {text}")
    _log(logging.WARNING, text)


def _log(level: int, text: str) -> None:
    if "prefect" not in sys.modules:  # it takes seconds to load, and without it there is no run
        return
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    with suppress(MissingContextError):
        get_run_logger().log(level, text)


def bar(total: int, description: str, unit: str, *, hidden: bool = False) -> tqdm:
    """A progress bar; none where standard error is not a terminal."""
    return tqdm(total=total, desc=f"  {description}", unit=unit, disable=hidden or None, leave=False)


@contextmanager
def counted(total: int, description: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Give a function to call with how many are done, for a bar outside of Prefect."""
    with bar(total, description, unit) as shown:

        def done(count: int) -> None:
            shown.update(count - shown.n)

        yield done


def print_rounds(results: Sequence[RoundResult], console: Console | None = None) -> None:
    """The rounds in a table that fits 80 columns, and the verdict; all columns are in the report."""
    console = console or Console()
    if results:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
        rows = round_table(results)
        left_out = ENERGY if BROAD_MAE in rows[0] else BROAD_MAE  # 80 columns do not hold both
        titles = {title: column for title, column in TITLES.items() if column != left_out}
        for title, column in titles.items():
            table.add_column(
                title, justify="right", no_wrap=bool(column)
            )  # labels and time may take two lines
        for result, row in zip(results, rows, strict=True):
            cells = {**row, LEDGER: row[LEDGER].replace("%", "")}
            table.add_row(
                *(cells[column] for column in titles.values() if column), _new(result), _time(result)
            )
        console.print(table)
    console.print(verdict(results), highlight=False)


def print_costs(costs: Sequence[dict[str, str]], console: Console | None = None) -> None:
    """What the labels cost by stage, if there are any."""
    if not costs:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    where, *titles = costs[0]
    table.add_column(where)
    for title in titles:
        table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=len(titles) < 7)
    for row in costs:
        table.add_row(*row.values())
    (console or Console()).print(table)


ENERGY = "energy MAE (meV/atom)"
TITLES = {
    "round": "round",
    "labels": "labels",
    "force MAE\nmeV/Å": "force MAE (meV/Å)",
    "broad\nmeV/Å": BROAD_MAE,
    "energy MAE\nmeV/atom": ENERGY,
    "agree /\ncandidate /\nfailed, %": LEDGER,
    "new\nlabels": "",
    "time": "",
}


def _new(result: RoundResult) -> str:
    labels = result.labels
    if labels is None:
        return "–"
    tried = labels.n_labelled + labels.n_failed
    return f"{labels.n_labelled} of {tried}" if labels.n_failed else str(labels.n_labelled)


def _time(result: RoundResult) -> str:
    return duration(result.seconds)
