"""The label store that a user means: a campaign's, a file, or a database by URL."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from pathlib import Path

from flows.errors import CampaignError, ConfigError
from labeling.location import is_url, without_passwords
from labeling.spool import Spool, StoreAwayError
from labeling.store import LabelStore, is_there

SQLITE = b"SQLite format 3\0"


def open_store(source: Path | str) -> LabelStore:
    """The label store of a campaign (its YAML file or folder), or a store itself (labels.db, a URL).

    Raises:
        ConfigError: if there is none, or its server does not let us in.
    """
    location, folder = source, Path()
    if not is_store(source):
        from flows.record.folder import CampaignFolder  # and with it all settings, which takes a second

        campaign = CampaignFolder.open(Path(source))
        location, folder = campaign.label_store, campaign.path
    if not is_there(location):
        raise ConfigError(source, [f"no label store {location}; `alnico run` or `alnico label` makes one"])
    store = open_location(location)
    try:
        take_in(Spool.beside(store.path, folder), store)
    except (
        CampaignError,
        OSError,
        sqlite3.Error,
    ) as error:  # looked at all the same
        print(f"note: {without_passwords(error)}", file=sys.stderr)
    return store


def open_location(location: Path | str) -> LabelStore:
    """The store at a path or URL, made if it is not there.

    Raises:
        ConfigError: for a database that is out of reach, or without the packages it needs.
    """
    try:
        return LabelStore(location)
    except ValueError as error:  # another program's database
        raise ConfigError(location, [str(error)]) from error
    except Exception as error:
        if not is_url(location):
            raise
        raise ConfigError(
            f"label store {without_passwords(location)}", [without_passwords(error).strip()]
        ) from error


def take_in(spool: Spool, store: LabelStore) -> None:
    """Have the store take what was computed while it could not be written, with a word.

    Raises:
        CampaignError: if it still cannot be written.
    """
    try:
        taken = spool.empty_into(store)
    except StoreAwayError as error:
        raise CampaignError(str(error)) from error
    for line in taken.words():
        print(line)


def require_writable(store: LabelStore) -> None:
    """Make sure that labels can be kept, before they are computed.

    Raises:
        PermissionError: for a file or folder that may not be written.
    """
    if store.is_file:
        for path in (Path(store.path), Path(store.path).absolute().parent):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, "may not be written", str(path))


def is_store(source: Path | str) -> bool:
    """Whether a store is meant rather than a campaign: a URL, a SQLite file, or a name ending in .db."""
    path = Path(source)
    if is_url(source) or path.suffix == ".db":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(SQLITE)) == SQLITE
