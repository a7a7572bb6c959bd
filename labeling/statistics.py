"""What a label store holds and what it cost, counted by the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from labeling.cost import STAGES
from labeling.database import Place, fetch
from labeling.exchange import name_of
from labeling.store import LabelStore

MEASURED = [stage for stage in STAGES if stage != "other"]


@dataclass(frozen=True, kw_only=True)
class LevelStatistics:
    """What a store holds at one level of theory, and what it cost.

    Attributes:
        level: its key and, where the labels tell, its name.
        labels: how many.
        failures: kind to number.
        rungs: SCF rung to number of labels.
        seconds: of all labels together, by stage ("scf", "gradient", ...) and in all ("total"), and of the
            failures ("failures").
    """

    level: str
    labels: int
    failures: dict[str, int]
    rungs: dict[str, int]
    seconds: dict[str, float]


def statistics(store: LabelStore) -> list[LevelStatistics]:
    """One entry per level of theory, in the order of their keys."""
    sql = _grouped(store.place)
    rows = store.connections.read(lambda database: fetch(database, sql))
    return [
        _level(name_of(store, key), [row for level, *row in rows if level == key])
        for key in dict.fromkeys(row[0] for row in rows)
    ]


def _grouped(place: Place) -> str:
    """SQL of: level, kind of failure, rung, number of rows, their seconds, of failures, total, by stage.

    The inner query narrows the rows to a few numbers; grouping carries those and not the provenance.
    """
    seconds = {
        "failed_s": place.number("d", "failure", "seconds"),
        "total_s": place.number("d", "provenance", "seconds"),
        **{stage: place.number("d", "provenance", f"{stage}_seconds") for stage in MEASURED},
    }
    each = ", ".join(f"coalesce({sql}, 0) AS {name}" for name, sql in seconds.items())
    sums = ", ".join(f"sum({name})" for name in seconds)
    return f"""
        SELECT level, failed, rung, count(*), {sums},
            sum({place.largest}(total_s - ({" + ".join(MEASURED)}), 0))
        FROM (
            SELECT level, failed, {place.text("d", "provenance", "scf_rung")} AS rung, {each}
            FROM (
                SELECT {place.level} AS level, {place.text("key_value_pairs", "failure")} AS failed,
                    {place.data} AS d
                FROM systems
            ) AS texts LIMIT 10000000000
        ) AS numbers
        GROUP BY level, failed, rung ORDER BY level, count(*) DESC
    """


def _level(name: str, groups: list[list[Any]]) -> LevelStatistics:
    labelled = [group for group in groups if group[0] is None]
    failed = [group for group in groups if group[0] is not None]
    rungs, failures = Counter[str](), Counter[str]()
    for kind, rung, count, *_ in groups:
        if kind is None:
            rungs[rung or "-"] += count
        else:
            failures[kind] += count
    totals = [sum((group[i] for group in labelled), start=0.0) for i in range(4, 6 + len(MEASURED))]
    total, *stages = totals
    return LevelStatistics(
        level=name,
        labels=sum(group[2] for group in labelled),
        failures=dict(failures.most_common()),
        rungs=dict(rungs.most_common()),
        seconds={
            **dict(zip([*MEASURED, "other"], stages, strict=True)),
            "total": total,
            "failures": sum((group[3] for group in failed), start=0.0),
        },
    )
