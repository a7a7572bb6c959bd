"""Prefect as this project uses it when nobody has set up a server: embedded, quiet, off the network.

Settings of the user (environment, profile, prefect.toml) go before these.
"""

from __future__ import annotations

import os
import warnings

DASHBOARD = "http://127.0.0.1:4200"
"""Where `prefect server start` shows the runs that the embedded API kept."""

EMBEDDED = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The campaign prints its own progress; Prefect's log of it is in the dashboard.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Most of what a label leaves in the database, and nobody looks at it: the states are kept anyway.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def use_embedded_prefect() -> None:
    """Set the environment; Prefect reads it when it is imported, so call this before."""
    for name, value in EMBEDDED.items():
        os.environ.setdefault(name, value)
    # `flows.engine.prefect_home` says it where it matters, with a remedy
    warnings.filterwarnings("ignore", "Failed to create the Prefect home directory")
