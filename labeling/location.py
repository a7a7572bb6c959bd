"""Where a label store is: a file, or a database by URL, whose password is nobody else's business."""

from __future__ import annotations

import re
from pathlib import Path

# To the last @, since people do not always encode one, a slash or a question mark in a password.
PASSWORD = re.compile(r"(?<=://)([^:/?#\s@]*):(?:(?!://)[^\s'\"])*@")
PASSWORD_AS_OPTION = re.compile(r"(?i)(?<![a-z])((?:ssl|pg)?password=)('[^']*'|[^&\s]*)")


def is_url(location: str | Path) -> bool:
    """Whether a label store is a database by URL rather than a file."""
    return str(location).startswith(("postgresql:", "postgres:"))


def without_passwords(text: object) -> str:
    """A URL, or a text with URLs in it, as it may be shown and kept; PostgreSQL then asks
    `~/.pgpass` or PGPASSWORD."""
    return PASSWORD_AS_OPTION.sub(r"\1", PASSWORD.sub(r"\1@", str(text)))
