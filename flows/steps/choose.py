"""Choose the champion among an arm's rounds, on labels that none of them has learned from.

The newest round has learned from the most labels and is the champion, unless the champion before it is
better on the held-out labels beyond the error bar. The frozen test set is not asked: an error by which a
potential was chosen is too good as an estimate.

The newest round has chosen its best epoch on these labels, the older one on a part of them, which favours
the newest a little.
"""

from __future__ import annotations

from pathlib import Path

from flows.record.folder import CampaignFolder
from flows.record.results import SUMMARY_FILE, ChampionSummary
from flows.record.rounds import RoundFolder
from flows.record.table import CHOOSE
from flows.steps.step import step
from flows.steps.train import load_committee, weights_digest
from flows.views.console import say
from flows.views.error_bars import frame_errors, mae_difference, mae_interval
from potential.bootstrap import FEWEST_PAIRS
from potential.data.atomic_write import write_atomically
from potential.data.dataset import Dataset
from potential.evaluation import evaluate
from potential.roles import unlearned


@step("choose", "choose champion with {here}")
def choose(campaign: CampaignFolder, here: RoundFolder, held_out: Dataset) -> ChampionSummary:
    """The champion of the rounds of an arm so far."""
    before = _champion_before(here)
    inputs = {
        "potential": weights_digest(here.potential),
        "champion_before": None if before is None else weights_digest(before.potential),
        "held_out": held_out.fingerprint,
    }

    def make(into: Path) -> None:
        found = _chosen(campaign, here, before, held_out)
        write_atomically(into / SUMMARY_FILE, found.model_dump_json(indent=2))

    CHOOSE.run(here.choose, inputs, make)
    summary = _read(here)
    if before is not None:
        say(f"  champion: round {summary.round}, {summary.said}")
    return summary


def _chosen(
    campaign: CampaignFolder, here: RoundFolder, before: RoundFolder | None, held_out: Dataset
) -> ChampionSummary:
    if before is None:
        return ChampionSummary(round=here.number, n_held_out=len(held_out), said="the first round")
    fair = unlearned(before.potential, held_out)
    n_fair = 0 if fair is None else len(fair)
    newest = ChampionSummary(round=here.number, before=before.number, n_held_out=n_fair, said="")
    if not len(held_out):
        return newest.model_copy(update={"said": "the newest: no labels are held out to compare it on"})
    if fair is None:
        said = f"the newest: what round {before.number} learned from was not recorded"
        return newest.model_copy(update={"said": said})
    if len(fair) < FEWEST_PAIRS:
        said = f"the newest: {len(fair)} held-out labels are too few to compare it on ({FEWEST_PAIRS} needed)"
        return newest.model_copy(update={"said": said})
    mine, theirs = (
        frame_errors(evaluate(load_committee(campaign, place), fair).atoms) for place in (here, before)
    )
    difference = mae_difference(mine, theirs)
    assert difference is not None, "both were measured on the same frames"
    worse = difference.low > 0
    shown = "{:+.1f} meV/Å, 95 % interval {:+.1f} to {:+.1f}".format(
        *(1000 * x for x in (difference.value, difference.low, difference.high))
    )
    on = f"round {here.number} less round {before.number} on {len(fair)} held-out labels: {shown}"
    return newest.model_copy(
        update={
            "round": before.number if worse else here.number,
            "force_mae": mae_interval(mine).value,
            "before_force_mae": mae_interval(theirs).value,
            "difference": (difference.low, difference.high),
            "said": f"{'better than the newest' if worse else 'the newest'} ({on})",
        }
    )


def _champion_before(here: RoundFolder) -> RoundFolder | None:
    if here.number == 0:
        return None
    return here.arm.round(_read(here.previous).round)


def _read(here: RoundFolder) -> ChampionSummary:
    return ChampionSummary.model_validate_json((here.choose / SUMMARY_FILE).read_text())
