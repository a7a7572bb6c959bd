"""Learning curves of several campaigns, arms and strategies in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.figure import Figure

from flows.record.folder import CampaignFolder
from flows.record.results import RoundResult
from flows.record.rounds import Arm
from flows.views.error_bars import frame_errors, mae_interval
from flows.views.plotting import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY, panels, scale
from potential.data.tables import FORCES_OF_ATOMS, read_table


def arms_of(campaigns: Sequence[CampaignFolder]) -> dict[str, Arm]:
    """Every arm that has a finished round, by the name that its run has in MLflow too."""
    found = {}
    for campaign in campaigns:
        for arm in campaign.arms:
            name = campaign.config.name if arm.is_main else f"{campaign.config.name}, {arm.name}"
            if arm.results():
                found[name] = arm
    return found


def comparison(arms: Mapping[str, Arm]) -> Figure:
    """Force MAE on the frozen test set against the number of labels, with 95 % intervals over its frames."""
    figure, (axes,) = panels(7.0, 4.4)
    labels: list[float] = []
    shown: list[float] = []
    colours = cycle((BLUE, ORANGE, GREEN, PURPLE, RED, SKY, INK))
    for (name, arm), colour in zip(arms.items(), colours, strict=False):
        results = arm.results()
        x = [float(result.n_labels) for result in results]
        y = [1000 * result.test.force_mae for result in results]
        axes.plot(x, y, "o-", color=colour, label=name)
        for result in results:
            if (bounds := _bounds(arm, result)) is not None:
                axes.plot([result.n_labels] * 2, bounds, "-", color=colour, linewidth=3, alpha=0.3)
                shown += bounds
        labels, shown = labels + x, shown + y
    scale(axes, "x", labels, ticks=sorted(set(labels)))
    scale(axes, "y", shown)
    axes.set(xlabel="labels", ylabel="test force MAE (meV/Å)")
    axes.legend(frameon=False)
    return figure


def remarks(campaigns: Sequence[CampaignFolder]) -> list[str]:
    """What keeps the curves from being compared as they are."""
    said = []
    tests = {r.evaluation.fingerprint for c in campaigns for r in c.results()[-1:]}
    if len(tests) > 1:
        said.append("the campaigns have different test sets: their errors differ for that alone")
    if len(levels := sorted({c.config.level.name for c in campaigns})) > 1:
        said.append(f"the campaigns have different levels of theory: {', '.join(levels)}")
    return said


def _bounds(arm: Arm, result: RoundResult) -> list[float] | None:
    table = arm.round(result.round).test_atoms
    if not table.exists():
        return None
    found = mae_interval(frame_errors(read_table(table, needs=FORCES_OF_ATOMS)))
    return [1000 * found.low, 1000 * found.high]
