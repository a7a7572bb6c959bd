"""A log file for each run, in the campaign's folder: what it said, what Prefect and the packages logged.

`logs/` holds the last `MOST_RUNS` runs, of each at most two parts of `MOST_BYTES`.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from flows.errors import ConfigError
from flows.version import version
from labeling.location import without_passwords

LEVEL = "ALNICO_LOG_LEVEL"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MOST_RUNS, MOST_BYTES = 20, 1_000_000
OURS = ("flows", "exploration", "labeling", "potential")
"""Loggers of ours; Prefect's have a level of their own, and all hand on to the root logger."""
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@contextmanager
def log_file(folder: Path) -> Iterator[Path]:
    """Within it, what is logged goes into a file of its own in `folder`; gives its path.

    Raises:
        ConfigError: if ALNICO_LOG_LEVEL is no level.
    """
    level = os.environ.get(LEVEL, "INFO").upper()
    if level not in LEVELS:
        raise ConfigError(LEVEL, [f"{os.environ[LEVEL]!r} is none of {', '.join(LEVELS)}"])
    folder.mkdir(parents=True, exist_ok=True)
    _make_room(folder)
    path = folder / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    handler = _Bounded(path, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8", errors="replace")
    handler.setFormatter(_WithoutPasswords(FORMAT))
    handler.setLevel(level)
    everybody, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in OURS}
    everybody.addHandler(handler)
    for logger in map(logging.getLogger, OURS):
        logger.setLevel(level)
    where = f"python {platform.python_version()} on {socket.gethostname()}, process {os.getpid()}"
    logging.getLogger("flows").info("alnico %s, %s, in %s", version(), where, folder.parent)
    try:
        yield path
    except BaseException as error:
        logging.getLogger("flows").error("ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        everybody.removeHandler(handler)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        handler.close()


def _make_room(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[: -(MOST_RUNS - 1)]:
        for part in folder.glob(f"{old.name}*"):
            part.unlink(missing_ok=True)


class _Bounded(RotatingFileHandler):
    """The last two parts of a long log; a full disk ends no campaign."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Nothing: what is logged is on the terminal and in Prefect, too."""


class _WithoutPasswords(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))
