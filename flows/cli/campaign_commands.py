"""Commands on campaigns, from the first file to the archive. Heavy imports wait until they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.errors import ConfigError

Source = Annotated[Path, Parameter(help="a campaign's YAML file, or its folder")]


def init(
    structures: Annotated[
        list[str] | None, Parameter(help="a molecule by name, e.g. ethanol, or files", negative=())
    ] = None,
    /,
    *,
    smiles: Annotated[str | None, Parameter(help="or a molecule as SMILES, e.g. 'CCO' (needs RDKit)")] = None,
    conformers: Annotated[int, Parameter(help="how many of the SMILES are drawn; equal ones count once")] = 1,
    file: Annotated[Path, Parameter(help="the YAML file to write")] = Path("campaign.yaml"),
    name: Annotated[str | None, Parameter(help="name of the campaign; default: the structure's")] = None,
    charge: Annotated[int | None, Parameter(help="total charge, elementary charges")] = None,
    spin: Annotated[int | None, Parameter(help="number of unpaired electrons")] = None,
    preset: Annotated[
        str | None,
        Parameter(help="level of theory to start from; `list` tells which; default: cheap, or cheap_crystal"),
    ] = None,
    force: Annotated[bool, Parameter(help="overwrite an existing file", negative=())] = False,
) -> None:
    """Write a commented campaign.yaml for a structure, ready to run."""
    from flows.settings.first_campaign import write_new_campaign

    if preset == "list":
        from labeling.presets import advice

        print(advice())
        return
    if bool(structures) == (smiles is not None):
        problem = "a structure or --smiles, not both" if smiles else "no structure"
        raise ConfigError(
            "alnico init", [f"{problem}; name a molecule, or files: alnico init ethanol, alnico init a.xyz"]
        )
    if conformers < 1 or (conformers > 1 and smiles is None):
        raise ConfigError("alnico init", [f"--conformers {conformers}: at least one, and of --smiles alone"])
    told = write_new_campaign(
        file,
        structures or [],
        smiles=smiles,
        n_conformers=conformers,
        name=name,
        charge=charge,
        spin=spin,
        preset=preset,
        force=force,
    )
    print("\n".join([f"wrote {file}", *told, f"next: look at it, then `alnico run {file}`"]))


def check(campaign: Source) -> None:
    """Validate a campaign, try one label and some steps, and say what it will take; nothing is kept."""
    from flows.cli.check import check_campaign

    check_campaign(campaign)


def run(
    campaign: Source,
    *,
    accept_changes: Annotated[
        bool, Parameter(help="go on with settings that changed since, and keep what is done", negative=())
    ] = False,
) -> None:
    """Run a campaign, or go on with one that was stopped; finished stages are not repeated."""
    from flows.cli.run import run_and_tell

    run_and_tell(campaign, accept_changes=accept_changes)


def review(
    campaign: Source,
    *,
    approve: Annotated[bool, Parameter(help="label what was selected", negative=())] = False,
    drop: Annotated[
        list[str] | None, Parameter(help="label all but this frame, by its first digits", negative=())
    ] = None,
    reject: Annotated[bool, Parameter(help="label nothing; the campaign ends", negative=())] = False,
    arm: Annotated[str | None, Parameter(help="decide on this arm alone")] = None,
) -> None:
    """Show what a campaign with `review: before_labels` wants to label; approve, drop some, or reject."""
    from flows.cli.review import show_reviews, take_decision

    if approve or drop or reject:
        take_decision(campaign, approve=approve, drop=drop or [], reject=reject, arm=arm)
    else:
        show_reviews(campaign)


def deploy(
    campaign: Source,
    *,
    cron: Annotated[str | None, Parameter(help="when, e.g. '0 2 * * *'; default: when asked to")] = None,
    check_cron: Annotated[
        str | None, Parameter(help="when its potential is evaluated anew, e.g. '0 6 * * 1'; default: never")
    ] = None,
    timezone: Annotated[str, Parameter(help="of both, e.g. Europe/Berlin")] = "UTC",
    rounds_per_run: Annotated[int, Parameter(help="rounds that a run finishes at most")] = 1,
    pool: Annotated[str, Parameter(help="Prefect's work pool; made if there is none")] = "workstation",
) -> None:
    """Let the configured Prefect server run a campaign, some rounds at a time; repeat it to change it."""
    from flows.cli.deploy import deploy_and_tell

    deploy_and_tell(
        campaign,
        cron=cron,
        timezone=timezone,
        rounds_per_run=rounds_per_run,
        pool=pool,
        check_cron=check_cron,
    )


def engine(
    campaign: Source,
    *,
    dry_run: Annotated[bool, Parameter(help="print what would be started", negative=())] = False,
) -> None:
    """Compute one label of a campaign where its engine computes, to see that it works."""
    from flows.cli.engine import print_dry_run, try_engine

    (print_dry_run if dry_run else try_engine)(campaign)


def status(campaign: Source) -> None:
    """Show how far a campaign is: a table of its rounds, the stage it is in, the verdict."""
    from flows.views.status import print_status

    print_status(campaign)


def report(
    campaign: Source,
    *,
    frequencies: Annotated[
        bool, Parameter(help="with those of its first structure, by its potential", negative=())
    ] = False,
) -> None:
    """Write report.html of a campaign anew."""
    from flows.record.folder import CampaignFolder
    from flows.views.report import write_report

    folder = CampaignFolder.open(campaign)
    if not folder.config_file.exists():
        raise ConfigError(campaign, [f"has not run yet, there is nothing to report; `alnico run {campaign}`"])
    modes: list[dict[str, str]] = []
    if frequencies:
        from flows.cli.properties import campaign_frequencies

        modes = campaign_frequencies(folder)
    beside = Path(f"{folder.config.name}-report.html")  # of a campaign that may only be read
    into = None if os.access(folder.path, os.W_OK) else beside
    print(f"wrote {write_report(folder, into, frequencies=modes)}")


def select(
    campaign: Source,
    *,
    replay: Annotated[bool, Parameter(help="select again from disk and compare", negative=())] = False,
    round_number: Annotated[int | None, Parameter(name="--round", help="default: all")] = None,
    arm: Annotated[str, Parameter(help="of the campaign")] = "active",
) -> None:
    """Show that the selections of a campaign follow from what lies in its folder: --replay."""
    if not replay:
        raise ConfigError(
            "alnico select", ["a campaign selects by itself; add --replay to check what it chose"]
        )
    from flows.cli.replay import replay_selections

    replay_selections(campaign, round_number=round_number, arm=arm)


def ui(
    campaign: Annotated[Path | None, Parameter(help="a campaign; default: those in ./campaigns")] = None,
    *,
    serve: Annotated[bool, Parameter(help="start both dashboards, until Ctrl-C", negative=())] = False,
    open_browser: Annotated[bool, Parameter(name="--open", help="and open the browser", negative=())] = False,
) -> None:
    """Print the commands that show the dashboards of Prefect and MLflow, or run them."""
    from flows.cli.dashboards import commands_for
    from flows.cli.dashboards import serve as serve_dashboards

    dashboards = commands_for(campaign)
    for dashboard in dashboards:
        print(f"{dashboard.what}\n  {dashboard.shell_line}\n  then open {dashboard.url}")
    if serve or open_browser:
        serve_dashboards(dashboards, open_browser=open_browser)


def compare(
    campaigns: Annotated[list[Path], Parameter(help="YAML files or folders of campaigns")],
    *,
    output: Annotated[Path, Parameter(help="the figure, .svg, .png or .pdf")] = Path("comparison.svg"),
) -> None:
    """Draw the learning curves of campaigns and their arms into one figure, and link the chart in MLflow."""
    from flows.cli.compare import compare_campaigns

    compare_campaigns(campaigns, output=output)


def archive(
    campaign: Annotated[
        Path, Parameter(help="a campaign's YAML file, or its folder; with --check: an archive")
    ],
    *,
    output: Annotated[Path | None, Parameter(help="the file; default: NAME.tar.gz here")] = None,
    check: Annotated[bool, Parameter(help="compare an archive with its checksums", negative=())] = False,
) -> None:
    """Pack a campaign into one file that a reviewer can open: folder, labels, potential, report."""
    from flows.cli.upkeep import archive_and_tell, check_and_tell

    if check:
        check_and_tell(campaign)
    else:
        archive_and_tell(campaign, output)


def prune(
    *,
    prefect_days: Annotated[float, Parameter(help="delete runs that ended so many days ago")],
) -> None:
    """Delete old runs of campaigns from Prefect's history; campaigns and their folders stay."""
    from flows.cli.upkeep import prune_prefect

    prune_prefect(prefect_days)


def doctor(
    campaigns: Annotated[Path, Parameter(help="the folder in which campaigns are")] = Path("campaigns"),
) -> None:
    """Say whether this machine is ready for campaigns, and what to do if it is not."""
    from flows.cli.doctor import diagnose
    from flows.errors import CampaignError

    if not diagnose(campaigns):
        raise CampaignError("something is amiss; the lines above say what to do")


def schema() -> None:
    """Print the JSON schema of campaign.yaml, for editors that complete and check it."""
    import json

    from flows.settings.campaign_config import campaign_schema

    print(json.dumps(campaign_schema(), indent=2), flush=True)


COMMANDS: tuple[Callable[..., None], ...] = (
    init,
    check,
    run,
    review,
    deploy,
    engine,
    status,
    report,
    select,
    ui,
    compare,
    archive,
    prune,
    doctor,
    schema,
)
