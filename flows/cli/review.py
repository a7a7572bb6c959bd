"""`alnico review`: show what a campaign wants to label, and take the decision."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from flows.record.review import FRAMES, PICTURE, Request, awaited, decide_all
from flows.record.rounds import RoundFolder
from flows.views.review import estimate, shown_rows
from potential.data.tables import read_table


def show_reviews(source: Path) -> None:
    """Print what is awaited: frames, reasons, cost, and the commands that decide."""
    folder = CampaignFolder.open(source)
    waiting = awaited(folder)
    for here, request in waiting:
        _show(here, request)
    if waiting:
        decide = f"alnico review {source}"
        print(
            f"{decide} --approve\n{decide} --drop FRAME --drop FRAME    # label the rest\n{decide} --reject"
        )
    else:
        print(f"no selection of {folder.config.name} waits for a review")


def take_decision(source: Path, *, approve: bool, drop: list[str], reject: bool, arm: str | None) -> None:
    """Write the decision on what is awaited, and say what comes next.

    Raises:
        ConfigError: where nothing is awaited, more than one thing is said, or a frame is not known.
    """
    if reject and (approve or drop):
        raise ConfigError("alnico review", ["--reject labels nothing: not together with --approve or --drop"])
    folder = CampaignFolder.open(source)
    said = decide_all(folder, approve=not reject, drop=drop, by="alnico review", arm=arm)
    print(f"{said}\n`alnico run {source}`, or the next run of its deployment, goes on")


def _show(here: RoundFolder, request: Request) -> None:
    rows = shown_rows(read_table(here.review / FRAMES, needs=("frame_id", "formula", "reason")))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*row.values())
    print(f"{here}: {estimate(request)}")
    Console().print(table)
    print(f"picture  {here.review / PICTURE}\n")
