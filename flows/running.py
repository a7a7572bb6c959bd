"""Run a campaign from a command line, and say at the end where to look."""

from __future__ import annotations

from pathlib import Path

from flows.campaign import run_campaign
from flows.console import print_rounds
from flows.dashboards import commands_for
from flows.folder import CampaignFolder
from flows.results import read_results


def run_and_tell(source: Path) -> None:
    """Run or resume the campaign, print its round table and where its results are."""
    folder = run_campaign(source)
    results = [r for r in read_results(folder.path) if r.round <= folder.config.rounds]
    print()
    print_rounds(results)
    print(f"\n{where_to_look(folder)}")


def where_to_look(folder: CampaignFolder) -> str:
    """The potential, the report and the commands for both dashboards."""
    lines = [
        f"potential  {_short(folder.potential)}",
        f'           atoms.calc = Potential.load("{_short(folder.potential)}")'
        "   # from potential.calculator import Potential",
        f"report     {_short(folder.report)}",
    ]
    for dashboard in commands_for(folder.path):
        lines.append(f"{dashboard.what:<10} {dashboard.shell_line}   then open {dashboard.url}")
    return "\n".join(lines)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
