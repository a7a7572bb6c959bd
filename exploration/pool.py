"""The scored frames that a strategy chooses from, and what is known already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from exploration.verdict import Outcome
from potential.data.frame import Frame

if TYPE_CHECKING:  # it brings pandas and ASE's readers, for which the configuration shall not wait
    from exploration.ledger import Exploration

Descriptors = Callable[[Sequence[Frame]], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """What a strategy sees. Frames go by their row in the ledger.

    Something more to choose by, such as latent features per atom or gradients of the last layer, is
    another field like `descriptors`; strategies that do not ask for it never compute it.

    Attributes:
        exploration: the recorded frames with the ledger of their scores and verdicts.
        training_frames: what has labels already.
        descriptors: from frames to one invariant vector each; computes no frame twice.
    """

    exploration: Exploration
    training_frames: tuple[Frame, ...]
    descriptors: Remembered

    @classmethod
    def of(
        cls, exploration: Exploration, *, training_frames: Sequence[Frame], descriptors: Descriptors
    ) -> Pool:
        """With a function such as `Evaluator.descriptors`."""
        return cls(
            exploration=exploration,
            training_frames=tuple(training_frames),
            descriptors=Remembered(descriptors),
        )

    @property
    def frames(self) -> tuple[Frame, ...]:
        return self.exploration.frames

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The verdict on each frame."""
        return tuple(map(Outcome, self.exploration.records["verdict"]))

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """The reason of each verdict."""
        return tuple(map(str, self.exploration.records["reason"]))

    @cached_property
    def disagreement(self) -> Float[np.ndarray, "frames"]:
        """Largest force disagreement of an atom of each frame, eV/Angstrom."""
        return np.asarray(self.exploration.records["max_force_disagreement"], dtype=np.float64)

    @cached_property
    def rungs(self) -> Float[np.ndarray, "frames"]:
        """The temperature, K, at which each frame was met."""
        return np.asarray(self.exploration.records["bath_temperature_K"], dtype=np.float64)

    @cached_property
    def uncertainty(self) -> Float[np.ndarray, "frames"]:
        """What frames are ranked by: the largest expected error where it was recorded, else disagreement."""
        records = self.exploration.records
        if "max_expected_error" not in records:
            return self.disagreement
        return np.asarray(records["max_expected_error"], dtype=np.float64)

    @cached_property
    def physical(self) -> Bool[np.ndarray, "frames"]:
        """Frames that passed the physical filter and whose score is a number."""
        both: np.ndarray = self.exploration.physical & np.isfinite(self.uncertainty)
        return both


@dataclass(frozen=True, eq=False)
class Remembered:
    """A function from frames to one vector each that is called once for each frame.

    Raises (when called):
        ValueError: where the function does not give one vector per frame.
    """

    function: Descriptors
    _known: dict[Frame, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, frames: Sequence[Frame]) -> Float[np.ndarray, "frames features"]:
        new = [frame for frame in dict.fromkeys(frames) if frame not in self._known]
        if new:
            matrix = np.asarray(self.function(new), dtype=np.float64)
            if matrix.ndim != 2 or len(matrix) != len(new):
                raise ValueError(
                    f"descriptors of {len(new)} frames have shape {matrix.shape}, expected one row each"
                )
            self._known.update(zip(new, matrix, strict=True))
        return np.stack([self._known[frame] for frame in frames]) if frames else np.zeros((0, 0))
