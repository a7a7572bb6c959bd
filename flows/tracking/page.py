"""What a campaign's page in MLflow says first: how good, how many labels, what it cost, is it done."""

from __future__ import annotations

from collections.abc import Sequence

from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.subject import subject_line
from flows.views.agreement import agreement_line
from flows.views.duration import duration
from flows.views.label_costs import label_costs
from flows.views.summary import champion_line, champion_round, markdown_table, round_table, verdict
from potential.metrics import FORCE_MAE

COLUMNS = ("round", "labels", "force MAE (meV/Å)", "force RMSE (meV/Å)", "energy MAE (meV/atom)")
WHAT_TO_LOOK_AT = """[Learning curve]({page}): tab *Model metrics*; the x axis (step) is the number of labels.
Report: the tab *Artifacts*, `report.html`, everything on one page."""


def in_words(campaign: CampaignFolder) -> str:
    """Some sentences without any mark-up: they are shown as they are in lists."""
    results = campaign.results()
    if not results:
        return f"{subject_line(campaign)}. The campaign has begun; no round is finished yet."
    good, many = _how_good(results), _how_many(campaign, results)
    agreed = [*_agreed(campaign, results), f"Its {champion_line(results)}."]
    cost, done = _cost(campaign, results), _done(campaign)
    return " ".join([f"{subject_line(campaign)}.", good, *agreed, many, cost, done])


def page(campaign: CampaignFolder, said: str, *, curve: str, flow_run: str | None) -> str:
    """The description of the campaign's run, Markdown.

    Args:
        said: `in_words` of it.
        curve: address of the charts.
        flow_run: address of the run in Prefect.
    """
    results = campaign.results()
    rows = [{title: row[title] for title in COLUMNS} for row in round_table(results)]
    links = WHAT_TO_LOOK_AT.format(page=curve)
    if flow_run:
        links += f"\n[Run in Prefect]({flow_run}): tasks and logs."
    return "\n\n".join(part for part in (said, verdict(results), markdown_table(rows), links) if part)


def _how_good(results: Sequence[RoundResult]) -> str:
    best = champion_round(results)
    where = f"on {best.test.n_frames} frozen test frames"
    said = f"The force error is {1000 * best.test.force_mae:.1f} meV/Å (MAE {where}{_interval(best)})"
    return f"{said}, the energy error {1000 * best.test.energy_mae:.2f} meV/atom."


def _agreed(campaign: CampaignFolder, results: Sequence[RoundResult]) -> list[str]:
    said = agreement_line(campaign, champion_round(results))
    return [] if said is None else [f"Its {said}."]


def _interval(best: RoundResult) -> str:
    bounds = best.evaluation.intervals.get(FORCE_MAE.name)
    return "" if bounds is None else f"; 95 % interval {1000 * bounds[0]:.1f} to {1000 * bounds[1]:.1f}"


def _how_many(campaign: CampaignFolder, results: Sequence[RoundResult]) -> str:
    failed = sum(r.labels.n_failed for r in results if r.labels)
    best = champion_round(results)
    said = f"It learned from {best.n_labels} labels at {campaign.config.level.name}"
    return said + (f"; {failed} frames have no label." if failed else ".")


def _cost(campaign: CampaignFolder, results: Sequence[RoundResult]) -> str:
    labels = duration(float(label_costs(campaign)["total"].sum()))
    training = duration(sum(result.training.seconds for result in results))
    return f"All labels took {labels} of computing, all training {training}."


def _done(campaign: CampaignFolder) -> str:
    if why := ending(campaign):
        return f"It is done: {why}."
    done = len(campaign.results(up_to=campaign.config.rounds))
    return f"It is not done: {done} of {campaign.config.rounds + 1} rounds are finished."
