"""What a person is asked about a selection, and what they answered: two files beside each other.

`request.json` is written once the selection is there to be looked at; `decision.json` by whoever decides:
`alnico review`, the form of a deployment, or the time-out. Free of torch and Prefect.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, Field, ValidationError

from flows.errors import ConfigError, DamagedFileError
from flows.record.ending import end_of, same_settings
from flows.record.folder import CampaignFolder
from flows.record.rounds import RoundFolder
from flows.record.stages import is_finished
from flows.settings.review_config import ReviewConfig
from potential.data.atomic_write import write_atomically
from potential.data.config import Config

Kind = TypeVar("Kind", bound=Config)
REQUEST, DECISION = "request.json", "decision.json"
FRAMES, PICTURE = "frames.csv", "picture.png"
WAITING = "Waiting for review"
"""What the state of a run is called that ended so."""


class Request(Config):
    """Which frames shall be labelled, and what that would cost.

    Attributes:
        frames: their ids, in the order of the selection.
        seconds_per_label: of computing, the mean of the campaign's labels so far.
        price_per_hour: of computing, if the campaign says one.
    """

    asked_at: AwareDatetime
    frames: tuple[str, ...]
    seconds_per_label: Annotated[float, Field(ge=0)]
    price_per_hour: float | None

    @property
    def seconds(self) -> float:
        """Of computing, for all frames."""
        return len(self.frames) * self.seconds_per_label

    @property
    def price(self) -> float | None:
        return None if self.price_per_hour is None else self.seconds / 3600 * self.price_per_hour


class Decision(Config):
    """Which frames are labelled and which are not; none is labelled of a selection that was rejected.

    Attributes:
        by: how it was said: `alnico review`, `form`, `time-out`.
    """

    label: tuple[str, ...]
    dropped: tuple[str, ...]
    by: str
    at: AwareDatetime


def read_request(here: RoundFolder) -> Request | None:
    """What was asked; None where nothing was."""
    return _read(here.review / REQUEST, Request)


def read_decision(here: RoundFolder, request: Request) -> Decision | None:
    """What was answered; None where nothing was, or of other frames."""
    found = _read(here.review / DECISION, Decision)
    same = found is not None and {*found.label, *found.dropped} == {*request.frames}
    return found if same else None


def decide(here: RoundFolder, request: Request, *, drop: Sequence[str], by: str) -> Decision:
    """Write a decision on what is awaited.

    Args:
        drop: ids of the frames that shall not be labelled; all of them: rejected.
    """
    made = Decision(
        label=tuple(frame for frame in request.frames if frame not in drop),
        dropped=tuple(frame for frame in request.frames if frame in drop),
        by=by,
        at=datetime.now(UTC),
    )
    write_atomically(here.review / DECISION, made.model_dump_json(indent=2))
    return made


def decide_all(
    folder: CampaignFolder, *, approve: bool, drop: Sequence[str], by: str, arm: str | None = None
) -> str:
    """Decide on all that is awaited, and say what was decided.

    Args:
        drop: digits of the frames that are not labelled; where several arms wait, in any of them.
        arm: decide on this one only.

    Raises:
        ConfigError: where nothing is awaited, or a frame to be dropped is not among it.
    """
    waiting = [(here, request) for here, request in awaited(folder) if arm in (None, here.arm.name)]
    if not waiting:
        which = "" if arm is None else f" of its arm {arm}"
        raise ConfigError("review", [f"no selection of {folder.config.name}{which} waits for a review"])
    frames = [frame for _, request in waiting for frame in request.frames]
    dropped = {_the_one(digits, frames) for digits in drop}
    said = []
    for here, request in waiting:
        theirs = [frame for frame in request.frames if frame in dropped or not approve]
        made = decide(here, request, drop=theirs, by=by)
        said.append(f"{here}: {len(made.label)} of {_counted(len(request.frames))} will be labelled")
    return "; ".join(said)


def overdue(review: ReviewConfig, request: Request) -> bool:
    """Whether nobody answered in time."""
    if review.time_out_hours is None:
        return False
    return datetime.now(UTC) - request.asked_at >= timedelta(hours=review.time_out_hours)


def awaited(folder: CampaignFolder) -> list[tuple[RoundFolder, Request]]:
    """The rounds that wait for a decision, with what was asked."""
    review = folder.config.review
    if review is None:
        return []
    latest = [begun[-1] for arm in folder.arms if (begun := arm.begun())]
    asked = [(here, request) for here in latest if (request := read_request(here)) is not None]
    return [
        (here, request)
        for here, request in asked
        if not is_finished(here.review)
        and not is_finished(here.label)
        and read_decision(here, request) is None
        and not overdue(review, request)
    ]


def blocked(folder: CampaignFolder) -> list[tuple[RoundFolder, Request]]:
    """What is awaited, if a run could do nothing before somebody has decided; else nothing."""
    if not same_settings(folder):
        return []
    waiting, rounds = awaited(folder), folder.config.rounds
    arms = {here.arm.name for here, _ in waiting}
    rest = [arm for arm in folder.arms if arm.name not in arms]
    return waiting if all(end_of(arm.results(up_to=rounds), rounds) for arm in rest) else []


def waits(folder: CampaignFolder, waiting: Sequence[tuple[RoundFolder, Request]]) -> str:
    """That it waits, since when, and what to do."""
    lines = [
        f"{here} waits since {request.asked_at.astimezone():%Y-%m-%d %H:%M} for a review of its "
        f"{_counted(len(request.frames))}"
        for here, request in waiting
    ]
    return f"{'; '.join(lines)}; `alnico review {folder.path}` shows them and takes the decision"


def _counted(n: int) -> str:
    return "1 frame" if n == 1 else f"{n} frames"


def _the_one(digits: str, frames: Sequence[str]) -> str:
    found = {frame for frame in frames if frame.startswith(digits)}
    if digits and len(found) == 1:
        return found.pop()
    what = f"fits {len(found)} of the selected frames" if digits and found else "is no selected frame"
    raise ConfigError("review", [f"drop {digits!r}: {what}; write the first digits of an id in the table"])


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError:
        raise DamagedFileError(f"{path} is damaged; delete it, and run the campaign again") from None
