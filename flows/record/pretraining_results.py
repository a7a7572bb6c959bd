"""What the stages before the first label leave behind."""

from __future__ import annotations

from potential.data.config import Config


class TeachSummary(Config):
    """What the teacher made; `n_alike` were left out as near-duplicates, `broken` walks ended early."""

    n_frames: int
    n_alike: int
    n_walks: int
    broken: tuple[str, ...]
    seconds: float


class PretrainSummary(Config):
    """What the committee learned before the first label; `steps` is 0 for weights from elsewhere.

    The errors (eV/Angstrom, eV/atom) are on frames of the teacher that were held out, None for weights
    that came from elsewhere; `source` says where they came from.
    """

    source: str
    n_train: int
    n_held_out: int
    steps: int
    force_mae: float | None
    energy_mae: float | None
    seconds: float


class GuardSummary(Config):
    """Force MAE (eV/Angstrom) on held-out initial labels, trained with pretrained weights and without."""

    n_train: int
    n_held_out: int
    pretrained: float
    scratch: float
    seconds: float

    @property
    def keep(self) -> bool:
        """Whether pretraining is kept."""
        return self.pretrained <= self.scratch
