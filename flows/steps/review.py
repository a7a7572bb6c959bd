"""The gate before the labels: a person is shown the selection, and the campaign stops until it is decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from exploration.selection import Selection
from flows.engine.events import announce
from flows.record.folder import CampaignFolder
from flows.record.review import (
    FRAMES,
    PICTURE,
    REQUEST,
    Decision,
    Request,
    decide,
    overdue,
    read_decision,
    read_request,
)
from flows.record.rounds import RoundFolder
from flows.record.stages import is_finished
from flows.record.table import REVIEW
from flows.steps.explore import frames_digest
from flows.steps.step import step
from flows.views.console import say
from flows.views.progress import artifact_key
from flows.views.review import estimate, review_markdown, review_table, selection_picture
from potential.data.atomic_write import write_atomically
from potential.data.frame import Frame


class _Undecided(Exception):  # noqa: N818  it is no error
    """Keeps the stage half done."""


def approved_frames(
    campaign: CampaignFolder, here: RoundFolder, selection: Selection, *, seconds_per_label: float
) -> Sequence[Frame] | None:
    """Those of the selection that may be labelled: all, where nobody is asked; None: it is not decided yet.

    A review that was finished counts, whatever the configuration says now; labels that were finished
    without one are not asked for afterwards.

    Args:
        seconds_per_label: of computing, for the estimate.
    """
    asked = campaign.config.review is not None and selection.frames and not is_finished(here.label)
    if not (asked or is_finished(here.review)):
        return selection.frames
    decision = review(campaign, here, selection, seconds_per_label)
    if decision is None:
        return None
    if decision.dropped:
        say(
            f"  review ({decision.by}): {len(decision.dropped)} of {len(selection.frames)} frames are dropped"
        )
    return [frame for frame in selection.frames if frame.id in decision.label]


@step("review", "review {here}")
def review(
    campaign: CampaignFolder, here: RoundFolder, selection: Selection, seconds_per_label: float
) -> Decision | None:
    """What was decided of the selection; None while nobody has, nor the time-out."""

    def make(into: Path) -> None:
        request = read_request(here)
        if request is None:
            request = _ask(campaign, here, selection, seconds_per_label)
        settings = campaign.config.review
        if read_decision(here, request) is not None:
            return
        if settings is None or not overdue(settings, request):
            raise _Undecided
        decide(here, request, drop=() if settings.then == "approve" else request.frames, by="time-out")

    try:
        REVIEW.run(here.review, {"frames": frames_digest(selection.frames)}, make)
    except _Undecided:
        return None
    request = read_request(here)
    assert request is not None, "a finished review has its request"
    return read_decision(here, request)


def _ask(
    campaign: CampaignFolder, here: RoundFolder, selection: Selection, seconds_per_label: float
) -> Request:
    """Show the selection in the campaign's folder and in Prefect; the request is written last."""
    table = review_table(selection)
    table.to_csv(here.review / FRAMES, index=False)
    disagreements = table["max_force_disagreement"].to_list()
    selection_picture(selection.frames, disagreements).savefig(here.review / PICTURE)
    request = Request(
        asked_at=datetime.now(UTC),
        frames=tuple(frame.id for frame in selection.frames),
        seconds_per_label=seconds_per_label,
        price_per_hour=campaign.config.stop.price_per_hour,
    )
    name, command = campaign.config.name, f"alnico review {campaign.path}"
    create_markdown_artifact(
        review_markdown(f"{name}, {here}: review", table, request, here.review / PICTURE, command),
        key=artifact_key(f"{name}-review"),
        description=f"What {here} wants to label, and what it costs",
    )
    write_atomically(here.review / REQUEST, json.dumps(request.model_dump(mode="json"), indent=2))
    announce("review.wanted", name, arm=here.arm.name, round=here.number, frames=len(selection.frames))
    say(f"  {here}: {estimate(request)}; it waits for a review")
    return request
