"""Keep what a round reached, and show it: on disk, as a table in Prefect, as metrics in MLflow."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from flows.campaign.state import Campaign
from flows.record.results import RoundResult
from flows.record.rounds import RoundFolder
from flows.views.progress import artifact_key
from flows.views.summary import markdown_table, round_table, verdict
from potential.data.atomic_write import write_atomically


def record(campaign: Campaign, here: RoundFolder, result: RoundResult) -> None:
    """Write the round's result, then show all rounds of its arm so far."""
    write_atomically(here.result, result.model_dump_json(indent=2))
    results = here.arm.results(up_to=here.number)
    name = campaign.folder.config.name + ("" if here.arm.is_main else f", {here.arm.name}")
    warnings = [] if result.selection is None else result.selection.warnings
    said = "\n".join(f"- {here}: {warning}" for warning in warnings)
    create_markdown_artifact(
        f"# {name}\n\n{markdown_table(round_table(results))}\n\n{verdict(results)}\n\n{said}",
        key=artifact_key(f"{name}-rounds"),
        description="The rounds of the campaign",
    )
    campaign.tracker.log_round(here, result)
