"""Run a campaign from a command line, and say at the end where to look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.engine.prefect_api import prefect_api
from flows.engine.prefect_settings import use_embedded_prefect
from flows.errors import ReviewAwaitedError
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.record.review import Request, awaited, blocked, waits
from flows.record.rounds import RoundFolder
from flows.record.stages import is_intact
from flows.tracking.store import logged


def run_and_tell(source: Path, *, accept_changes: bool = False) -> None:
    """Run or resume the campaign, print its round table and where its results are.

    Args:
        accept_changes: go on with settings that changed since, whatever `flows.campaign.settle` asks for.

    Raises:
        ChangedMindError: for such changes that are not accepted.
        ReviewAwaitedError: if it stopped because a person has to decide on what it selected.
        ConfigError, CampaignError, KeyboardInterrupt: as `flows.campaign.loop.run_campaign`.
    """
    use_embedded_prefect()
    folder = CampaignFolder.open(source)
    with campaign_lock(folder.path):
        from flows.campaign.settle import settle

        for line in settle(folder, accept=accept_changes):
            print(f"changed  {line}")
        _stop_for(folder, blocked(folder))
        if nothing_to_do(folder):
            print(f"campaign {folder.config.name}: {ending(folder)}; nothing is left to do")
            _tell_the_end(folder)
            return
        print(f"campaign {folder.config.name} in {folder.path}: Prefect and PyTorch start", flush=True)
        with prefect_api() as wait_for_api:
            # Imported here: a wrong configuration or a campaign in use is said before Prefect and torch
            # load, and they load while Prefect's server starts.
            from prefect import tags

            from flows.campaign.loop import run_campaign
            from flows.engine.prefect_runs import TAG

            wait_for_api()
            with tags(TAG):
                run_campaign(source)
    _tell_the_end(folder, awaited(folder))


def nothing_to_do(folder: CampaignFolder) -> bool:
    """Whether all stages are finished and as they were made, and MLflow has them; known without torch.

    Raises:
        StageChangedError: for files that were altered since.
    """
    if ending(folder) is None or not logged(folder):
        return False
    return all(is_intact(path) for _, path in [*folder.stages(), ("potential", folder.potential)])


def _tell_the_end(folder: CampaignFolder, waiting: Sequence[tuple[RoundFolder, Request]] = ()) -> None:
    from flows.views.console import print_rounds

    print()
    print_rounds(folder.results())
    _stop_for(folder, waiting)
    print(f"\n{where_to_look(folder)}")


def _stop_for(folder: CampaignFolder, waiting: Sequence[tuple[RoundFolder, Request]]) -> None:
    if waiting:
        raise ReviewAwaitedError(waits(folder, waiting))


def where_to_look(folder: CampaignFolder) -> str:
    """The potential, the report and the commands for both dashboards."""
    lines = [
        f"potential  {_short(folder.potential)}",
        f'           atoms.calc = Potential.load("{_short(folder.potential)}")'
        "   # from alnico import Potential",
        f"report     {_short(folder.report)}",
    ]
    from flows.cli.dashboards import commands_for, mlflow_problem
    from flows.tracking.store import default_tracking_uri

    problem = mlflow_problem(default_tracking_uri(folder.path.parent))
    for dashboard in commands_for(folder.path):
        if dashboard.what == "MLflow" and problem:
            lines.append(f"{dashboard.what:<10} not there: {problem}")
            continue
        lines += [f"{dashboard.what:<10} {dashboard.shell_line}", f"           then open {dashboard.url}"]
    return "\n".join(lines)


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
