"""What selection decided and what it warns of, for every place that shows it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from exploration.decisions import Stage
from exploration.selection import Selection
from flows.views.summary import markdown_table


def selection_table(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, str]]:
    """How many frames were picked or left, by the stage that decided: a column per round, by its title.

    A stage that this version does not know, such as one of another version, goes by its own name.
    """
    because = {stage.value: stage.description for stage in Stage}
    order = list(because)
    counts = {n: table.value_counts(["decision", "stage"]) for n, table in tables.items() if len(table)}
    met = {(decision, stage) for found in counts.values() for decision, stage in found.index}
    return [
        {"decision": decision, "because": because.get(stage, stage)}
        | {title: str(found.get((decision, stage), 0)) for title, found in counts.items()}
        for decision, stage in sorted(
            met, key=lambda pair: (order.index(pair[1]) if pair[1] in because else len(order), pair)
        )
    ]


def selection_markdown(title: str, column: str, selection: Selection) -> str:
    """One round's decisions by stage, and its warnings."""
    parts = [f"# {title}", *(f"**Warning:** {warning}" for warning in selection.warnings)]
    return "\n\n".join([*parts, markdown_table(selection_table({column: selection.table}))])
