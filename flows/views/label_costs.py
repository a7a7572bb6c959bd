"""The cost of labels: seconds by stage, per round and cumulated, from the outcomes of each label stage.

A label that the store had already counts with what it cost when it was made.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.record.folder import FIRST, CampaignFolder
from flows.record.rounds import RoundFolder, read_outcomes
from flows.record.table import ISOLATED_ATOMS
from flows.views.duration import duration
from labeling.cost import STAGES

FAILURES = "failures"
NAMES = {**STAGES, FAILURES: FAILURES}


def label_costs(campaign: CampaignFolder) -> pd.DataFrame:
    """One row per label stage that is finished, in the order in which they ran.

    Columns: `where` ("initial and test", "isolated atoms", "round 0", ...), `round` (0 for the first two),
    `labels`, the seconds of the labels by stage (`scf`, `gradient`, ...), of the failures (`failures`), of
    all (`total`) and of all so far (`cumulated`).
    """
    rows = [
        {"where": where, "round": number, **_cost(read_outcomes(path))}
        for where, number, path in label_outcomes(campaign)
    ]
    costs = pd.DataFrame(rows, columns=["where", "round", "labels", *NAMES])
    costs["total"] = costs[list(NAMES)].sum(axis=1)
    costs["cumulated"] = costs["total"].cumsum()
    return costs


def label_outcomes(campaign: CampaignFolder) -> list[tuple[str, int, Path]]:
    """What was labelled, the round it belongs to, and its outcomes.csv; those that are there."""
    stages = campaign.label_stages()
    return [stage for stage in stages if stage[2].exists() and stage[2].stat().st_size > 1]


def cost_table(costs: pd.DataFrame) -> list[dict[str, str]]:
    """The costs ready to show; stages that took no time are left out."""
    shown = [stage for stage in NAMES if costs[stage].sum() > 0]
    return [
        {"labels of": str(row["where"]), "labels": str(row["labels"])}
        | {NAMES[stage]: duration(row[stage]) for stage in shown}
        | {"total": duration(row["total"]), "cumulated": duration(row["cumulated"])}
        for row in costs.to_dict("records")
    ]


def cost_metrics(costs: pd.DataFrame, here: RoundFolder) -> dict[str, float]:
    """For MLflow: seconds by stage of the labels made up to the end of a round, and in that round."""
    mine = costs["where"].isin([FIRST, ISOLATED_ATOMS.title, *(str(r) for r in here.arm.begun())])
    until, within = costs[mine & (costs["round"] <= here.number)], costs[costs["where"] == str(here)]
    metrics = {"4 cost/cumulative_label_seconds": float(until["total"].sum())}
    for stage in NAMES:
        if until[stage].sum() > 0:
            metrics[f"4 cost/cumulative_label_{stage}_seconds"] = float(until[stage].sum())
        if within[stage].sum() > 0 or (
            len(within) and stage == FAILURES
        ):  # often 0, and a chart all the same
            metrics[f"4 cost/label_{stage}_seconds"] = float(within[stage].sum())
    return metrics


def _cost(outcomes: pd.DataFrame) -> dict[str, int | float]:
    labelled = outcomes[outcomes["outcome"] == "labelled"]
    failed = outcomes[outcomes["outcome"] == "failed"]
    columns = {stage: f"{stage}_seconds" for stage in STAGES}
    seconds = {
        stage: float(labelled[column].sum()) for stage, column in columns.items() if column in outcomes
    } or {"other": float(labelled["seconds"].sum())}
    return {
        "labels": len(labelled),
        **dict.fromkeys(STAGES, 0.0),
        **seconds,
        FAILURES: float(failed["seconds"].sum()),
    }
