"""Where the embedded Prefect server keeps its runs: `prefect.db` in PREFECT_HOME, `~/.prefect` by default."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from flows.errors import CampaignError
from labeling.location import without_passwords

ANOTHER = "export PREFECT_HOME=/path/to/a/folder"


def require_writable_home() -> None:
    """Make sure that the server can keep its runs, before it starts.

    Raises:
        CampaignError: if its folder cannot be made, or it or the database in it cannot be written.
    """
    if (database := _file()) is None:
        return
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=database.parent).close()
        if database.exists():
            os.close(os.open(database, os.O_RDWR))
    except OSError as error:
        raise CampaignError(
            f"Prefect keeps its runs in {database.parent}, which cannot be written ({error.strerror}).\n"
            f"Name a folder of yours: {ANOTHER}"
        ) from None


def mend_database() -> str:
    """What to do where the server does not start."""
    if (database := _file()) is not None:
        return f"Its database is {database}. Move it away and begin a new one, or name another: {ANOTHER}"
    where = f"Its database is {without_passwords(_url())}, as PREFECT_SERVER_DATABASE_CONNECTION_URL says."
    return f"{where} Make it answer, or unset that."


def _file() -> Path | None:
    """Prefect's own database; None where the user has named another."""
    from prefect.settings import PREFECT_HOME

    database = Path(PREFECT_HOME.value()) / "prefect.db"
    return database if str(database) in _url() else None


def _url() -> str:
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    return str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value())
