"""What a scheme of dynamics is, and the union of those that there are.

A scheme is a frozen configuration and a pair (init, step). Importing it leaves torch out, so that
reading a campaign's configuration stays quick; its methods import `exploration.dynamics.moves`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

from jaxtyping import Float64
from pydantic import Field

from exploration.dynamics.langevin import Langevin
from exploration.dynamics.npt import NPT
from exploration.dynamics.nve import NVE
from potential.data.frame import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from exploration.dynamics.state import MDState
    from potential.force_model import ForceModel


@runtime_checkable
class Scheme(Protocol):
    """How replicas move. Every scheme passes `tests/exploration/test_schemes.py`."""

    def check(self, frame: Frame) -> None:
        """Raise ValueError, with advice, for a frame that the scheme cannot treat."""
        ...

    def init(
        self,
        force_model: ForceModel,
        frames: Sequence[Frame],
        temperatures_K: Sequence[float],
        *,
        seed: int,
    ) -> MDState:
        """Replicas at `frames`, one temperature each, with thermal velocities.

        Raises:
            ValueError: where frames and temperatures differ in number, or `check` refuses a frame.
        """
        ...

    def step(self, force_model: ForceModel, state: MDState, *, timestep_fs: float) -> MDState:
        """One step: one call of the force model. No replica changes another."""
        ...

    def stride(self, state: MDState, *, timestep_fs: float) -> Float64[Tensor, "structures"]:
        """The largest distance that an atom or its nearest image is about to move, Angstrom.

        Noise left out. NaN or infinite where something that moves them is.
        """
        ...


Ensemble = Annotated[NVE | Langevin | NPT, Field(discriminator="scheme")]
