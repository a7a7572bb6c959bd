"""`prefect run campaign.yaml`: Prefect's command line gains a command that does what `alnico run` does.

Prefect 3 loads the packages of the entry-point group `prefect.plugins` when it is imported, if
`plugins.enabled` is set (in prefect.toml, by `prefect config set`, or PREFECT_PLUGINS_ENABLED=true), and
calls their hook.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prefect.plugins import HookContext, SetupResult, register_hook

from flows.engine.prefect_settings import EMBEDDED


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Register the command where Prefect's command line starts; other programs are left alone."""
    if not _is_prefects_command_line():
        return None
    from prefect.cli._app import _app

    _app.command(run, name="run")
    if "run" not in sys.argv[1:2]:
        return None
    return SetupResult(env={name: value for name, value in EMBEDDED.items() if name not in os.environ})


def _is_prefects_command_line() -> bool:
    as_module = ("-m", "prefect") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return as_module or Path(sys.argv[0]).stem == "prefect"


def run(campaign: Path, *, accept_changes: bool = False) -> None:
    """Run an active-learning campaign of alnico, or go on with it.

    Args:
        campaign: The campaign's YAML file, or its folder; the same as `alnico run`.
        accept_changes: Go on with settings that changed since, and keep what is done.
    """
    from flows.cli.app import run_command

    sys.exit(run_command(["run", str(campaign), *(["--accept-changes"] if accept_changes else [])]))
