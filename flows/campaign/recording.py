"""Keep what a round reached, and show it: on disk, as a table in Prefect, as metrics in MLflow."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact
from pydantic import JsonValue

from flows.campaign.state import REJECTED, Campaign
from flows.engine.events import Event, announce
from flows.record.results import RoundResult, write_result
from flows.record.rounds import RoundFolder
from flows.record.subject import subject_line
from flows.tracking.store import learning_curve_address, server_of
from flows.views.console import say
from flows.views.forecast import time_left
from flows.views.progress import artifact_key
from flows.views.summary import markdown_table, round_table, verdict


def record(campaign: Campaign, here: RoundFolder, result: RoundResult) -> None:
    """Write the round's result, then show all rounds of its arm so far."""
    new = not here.result.exists()
    write_result(here.result, result)
    if new:
        _announce(campaign.folder.config.name, result)
    results = here.arm.results(up_to=here.number)
    name = campaign.folder.config.name + ("" if here.arm.is_main else f", {here.arm.name}")
    warnings = [] if result.selection is None else result.selection.warnings
    said = "\n".join(f"- {here}: {warning}" for warning in warnings)
    curve = learning_curve_address(campaign.folder, server_of(campaign.tracker.tracking_uri))
    link = f"[Learning curve in MLflow]({curve})" if curve else ""
    create_markdown_artifact(
        f"{subject_line(campaign.folder)}\n\n{verdict(results)}\n\n{markdown_table(round_table(results))}\n\n{said}\n\n{link}",
        key=artifact_key(f"{name}-rounds"),
        description=f"The rounds of {name}",
    )
    campaign.tracker.log_round(here, result)
    if remaining := time_left(campaign.folder):
        say(f"  {remaining}")


def _announce(campaign: str, result: RoundResult) -> None:
    """Tell automations of the round, once."""
    where: dict[str, JsonValue] = {"arm": result.arm, "round": result.round}
    error = 1000 * result.test.force_mae
    announce("round.finished", campaign, **where, n_labels=result.n_labels, force_mae_meV_per_A=error)
    if result.labels is not None and result.labels.n_failed:
        announce("quarantine.grew", campaign, **where, failures=result.labels.n_failed)
    if result.stop is not None and result.stop.ended is not None:
        announce(_kind_of_end(result.stop.ended), campaign, **where, why=result.stop.ended)


def _kind_of_end(why: str) -> Event:
    if why == REJECTED:
        return "rejected"
    return "converged" if why.startswith("converged") else "budget.spent"
