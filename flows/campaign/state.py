"""Where the loop stands, and what all its rounds and arms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flows.record.folder import CampaignFolder
from flows.record.rounds import Arm, RoundFolder
from flows.steps.labels import LabelTally
from flows.steps.train import Pretrained
from flows.tracking.tracker import Tracker
from labeling.store import LabelStore
from potential.data.dataset import Dataset
from potential.data.frame import Frame

REJECTED = "its selection was rejected in review"


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What all rounds and arms share.

    Attributes:
        test: the frozen test set.
        broad: the second one, if there is one.
        starts: the initial frames, from which survival is measured in every round.
        elements: atomic numbers that the potential must know.
        energy_shifts: energies of isolated atoms, eV; None where the shifts are fitted.
        pretrained: weights to begin from; None: random ones.
    """

    folder: CampaignFolder
    store: LabelStore
    tracker: Tracker
    test: Dataset
    elements: tuple[int, ...]
    energy_shifts: Mapping[int, float] | None = None
    pretrained: Pretrained | None = None
    broad: Dataset | None = None
    starts: tuple[Frame, ...] = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """Where an arm stands: its round, all labels it may learn from, and the frames without one.

    Attributes:
        ended: this round was its last.
        waits: for a review of what this round selected.
    """

    arm: Arm
    round: int
    dataset: Dataset
    quarantined: tuple[Frame, ...]
    ended: bool = False
    waits: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether a turn can be taken now."""
        return not (self.ended or self.waits)

    @property
    def here(self) -> RoundFolder:
        return self.arm.round(self.round)

    def advance(self, tally: LabelTally) -> State:
        """The next round, which learns from what was labelled too."""
        dataset = self.dataset.add(tally.labelled)
        known = {frame.id for frame in dataset.frames}
        tried = dict.fromkeys((*self.quarantined, *tally.quarantined))
        return replace(
            self,
            round=self.round + 1,
            dataset=dataset,
            quarantined=tuple(frame for frame in tried if frame.id not in known),
        )

    def end(self) -> State:
        """This round was the arm's last."""
        return replace(self, ended=True)

    def wait(self) -> State:
        """Somebody has to decide on what this round selected."""
        return replace(self, waits=True)
