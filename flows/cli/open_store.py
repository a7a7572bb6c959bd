"""The label store that a user means: a campaign's, a file, or a database by URL."""

from __future__ import annotations

from pathlib import Path

from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from labeling.location import is_url, without_passwords
from labeling.store import LabelStore, is_there

SQLITE = b"SQLite format 3\0"


def open_store(source: Path | str) -> LabelStore:
    """The label store of a campaign (its YAML file or folder), or a store itself (labels.db, a URL).

    Raises:
        ConfigError: if there is none, or its server does not let us in.
    """
    location = source if is_store(source) else CampaignFolder.open(Path(source)).label_store
    if not is_there(location):
        raise ConfigError(source, [f"no label store {location}; `alnico run` or `alnico label` makes one"])
    return open_location(location)


def open_location(location: Path | str) -> LabelStore:
    """The store at a path or URL, made if it is not there.

    Raises:
        ConfigError: for a database that is out of reach, or without the packages it needs.
    """
    try:
        return LabelStore(location)
    except Exception as error:
        if not is_url(location):
            raise
        raise ConfigError(
            f"label store {without_passwords(location)}", [without_passwords(error).strip()]
        ) from error


def is_store(source: Path | str) -> bool:
    """Whether a store is meant rather than a campaign: a URL, a SQLite file, or a name ending in .db."""
    path = Path(source)
    if is_url(source) or path.suffix == ".db":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(SQLITE)) == SQLITE
