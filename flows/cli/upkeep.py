"""`alnico archive` and `alnico prune`: what is kept, and what is not kept for ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from flows.engine.prefect_api import prefect_api
from flows.engine.prefect_settings import use_embedded_prefect
from flows.errors import ConfigError
from flows.record.archive import archive, check
from flows.record.folder import CampaignFolder
from flows.views.disk import shown_size
from labeling.location import without_passwords


def archive_and_tell(source: Path, output: Path | None) -> None:
    """Write the archive, in the current folder unless another file is named.

    Raises:
        ConfigError, CampaignError: as `flows.record.archive.archive`.
    """
    folder = CampaignFolder.open(source)
    file = archive(folder, output or Path(f"{folder.config.name}.tar.gz"))
    print(f"wrote {file}, {shown_size(file.stat().st_size)}\nopen it with: tar xzf {file}")


def check_and_tell(file: Path) -> None:
    """Say that an archive is whole.

    Raises:
        CampaignError: if it is not.
    """
    print(f"{check(file)} files, each as it was archived")


def prune_prefect(days: float) -> None:
    """Delete the runs of campaigns that ended so many days ago from Prefect, and say how many.

    Raises:
        ConfigError: for less than a day.
        CampaignError: if no server answers.
    """
    if not days >= 1:
        raise ConfigError("alnico prune", [f"--prefect-days {days:g}: must be 1 or more"])
    use_embedded_prefect()
    with prefect_api() as wait_for_api:
        from prefect.settings import get_current_settings

        from flows.engine.prefect_runs import delete_runs

        wait_for_api()
        url = without_passwords(get_current_settings().api.url)
        n = delete_runs(timedelta(days=days))
    print(
        f"{n} {'run' if n == 1 else 'runs'} that ended more than {days:g} days ago deleted from {url}, with "
        "tasks, logs and artifacts.\nA database in a file does not become smaller; the room is used again."
    )
