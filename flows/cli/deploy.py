"""Deploy a campaign's step, and say what is to be started for it."""

from __future__ import annotations

import shlex
from pathlib import Path


def deploy_and_tell(
    campaign: Path,
    *,
    cron: str | None,
    timezone: str,
    rounds_per_run: int,
    pool: str,
    check_cron: str | None,
) -> None:
    """Create or update pool and deployments, print when they run, the worker to start, how to run one now.

    Raises:
        ConfigError, CampaignError: as `flows.deployments.create.deploy`.
    """
    from flows.deployments.create import deploy

    made = deploy(
        campaign,
        cron=cron,
        timezone=timezone,
        rounds_per_run=rounds_per_run,
        pool=pool,
        check_cron=check_cron,
    )
    rounds = "1 round" if rounds_per_run == 1 else f"up to {rounds_per_run} rounds"
    when = f"at `{cron}` ({timezone})" if cron else "when asked to (no --cron was given)"
    step, *others = made.names
    print(f"deployment  {step}" + (f"\n            {made.url}" if made.url else ""))
    print(f"runs        {rounds}, {when}, in {made.root}")
    print(f"start       prefect worker start --pool {shlex.quote(made.pool)}     # once, and keep it running")
    print(f"run now     prefect deployment run {shlex.quote(step)}")
    for name in others:
        print(f"and         {name}")
