"""Where to look again: frames that were uncertain, and from which the dynamics still went on."""

from __future__ import annotations

from exploration.ledger import Exploration
from exploration.verdict import Outcome
from potential.data.frame import Frame


def survivable(exploration: Exploration, n: int, *, for_fs: float) -> list[Frame]:
    """At most `n` frames, the most uncertain first, one of each replica.

    A frame is survivable if it is physical and in the band, and its replica ran on for at least `for_fs`.
    Starts at the edge of what the committee can do reach new frames sooner than starts among known ones.
    """
    records = exploration.records
    if records.empty or not len(exploration.replicas):
        return []
    ends = exploration.replicas.set_index("replica")["time_fs"]
    left = records["replica"].map(ends) - records["time_fs"]
    good = exploration.physical & (records["verdict"] != Outcome.FAILED) & (left >= for_fs)
    column = "max_expected_error" if "max_expected_error" in records else "max_force_disagreement"
    ranked = records[good].sort_values([column, "frame_id"], ascending=[False, True], kind="stable")
    best = ranked.drop_duplicates("replica").index[:n]
    return [exploration.frames[row] for row in best]
