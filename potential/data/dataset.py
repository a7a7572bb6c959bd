"""Labels and the dataset of labelled frames. Free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from jaxtyping import Float64

from potential.data.frame import Frame
from potential.data.readonly import ReadOnlyArrays
from potential.data.stress import voigt_stress

# Two runs of one SCF on two machines agree better; two functionals do not.
SAME_ENERGY_EV, SAME_FORCE_EV_PER_A, SAME_STRESS_EV_PER_A3 = 1e-4, 1e-3, 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Label(ReadOnlyArrays):
    """Reference energy and forces of one frame at one level of theory.

    Attributes:
        frame_id: `Frame.id` of the structure.
        level_key: `key` of the level of theory.
        energy: eV.
        forces: eV/Angstrom.
        stress: eV/Angstrom^3, ASE's sign, or None.
        provenance: how it was made (SCF steps, seconds, versions, host, checks); JSON values only.
    """

    frame_id: str
    level_key: str
    energy: float
    forces: Float64[np.ndarray, "atoms 3"]
    stress: Float64[np.ndarray, "3 3"] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame and its label."""

    frame: Frame
    label: Label

    def __post_init__(self) -> None:
        if self.frame.id != self.label.frame_id:
            raise ValueError(f"label belongs to frame {self.label.frame_id}, not to {self.frame.id}")

    def to_atoms(self) -> Atoms:
        """As `ase.Atoms` with energy, forces (and stress) in a SinglePointCalculator."""
        atoms = self.frame.to_atoms()
        stress = self.label.stress
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=self.label.energy,
            forces=self.label.forces,
            **({} if stress is None else {"stress": voigt_stress(stress)}),
        )
        return atoms


@dataclass(frozen=True)
class Dataset:
    """An ordered set of labelled frames: no frame twice, all at one level of theory.

    Of two equal labels of one frame the first is kept.

    Raises:
        ValueError: where labels of different levels of theory are mixed, or two labels of one frame
            differ by more than the noise of an SCF.
    """

    items: tuple[LabelledFrame, ...] = ()

    def __post_init__(self) -> None:
        keys = sorted({item.label.level_key for item in self.items})
        if len(keys) > 1:
            raise ValueError(
                f"a dataset holds labels of one level of theory, got {keys}; make one dataset per level"
            )
        unique: dict[str, LabelledFrame] = {}
        for item in self.items:
            first = unique.setdefault(item.frame.id, item)
            if first is not item:
                _refuse_contradiction(first, item)
        object.__setattr__(self, "items", tuple(unique.values()))

    @classmethod
    def of(cls, items: Iterable[LabelledFrame]) -> Dataset:
        return cls(tuple(items))

    def add(self, items: Iterable[LabelledFrame]) -> Dataset:
        """A new dataset with `items` appended; frames already present are dropped."""
        return Dataset(self.items + tuple(items))

    def split(self, n_held_out: int, *, seed: int) -> tuple[Dataset, Dataset]:
        """Random split into (kept, held out).

        Raises:
            ValueError: if fewer than one frame would be left to keep.
        """
        if not 0 <= n_held_out < max(len(self), 1):
            raise ValueError(f"cannot hold out {n_held_out} of {len(self)} frames; hold out fewer")
        held = set(np.random.default_rng(seed).permutation(len(self))[:n_held_out].tolist())
        kept = [item for i, item in enumerate(self.items) if i not in held]
        return Dataset.of(kept), Dataset.of(self.items[i] for i in sorted(held))

    @property
    def frames(self) -> list[Frame]:
        return [item.frame for item in self.items]

    @property
    def labels(self) -> list[Label]:
        return [item.label for item in self.items]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the frames and their labels' values, independent of order. 16 hex digits."""
        rows = sorted(
            f"{i.frame.id} {i.label.level_key} {i.label.energy:.6f} "
            f"{hashlib.sha256(np.round(i.label.forces, 6).tobytes()).hexdigest()}"
            for i in self.items
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[LabelledFrame]:
        return iter(self.items)


def _refuse_contradiction(first: LabelledFrame, second: LabelledFrame) -> None:
    one, other = first.label, second.label
    energy = abs(one.energy - other.energy)
    force = float(np.abs(one.forces - other.forces).max(initial=0.0))
    stress = 0.0
    if one.stress is not None and other.stress is not None:
        stress = float(np.abs(one.stress - other.stress).max())
    if energy <= SAME_ENERGY_EV and force <= SAME_FORCE_EV_PER_A and stress <= SAME_STRESS_EV_PER_A3:
        return
    raise ValueError(
        f"two labels of one frame differ: {first.frame.formula} {first.frame.id} has the energies "
        f"{one.energy:.6f} and {other.energy:.6f} eV, its forces differ by up to {force:.6f} eV/Å"
        + (f", its stresses by up to {stress:.6f} eV/Å^3" if stress else "")
        + f"{_places(one, other)}; keep the right one and remove the other"
    )


def _places(one: Label, other: Label) -> str:
    places = [label.provenance.get("structure") for label in (one, other)]
    return "" if None in places else f" (structures {places[0]} and {places[1]} of the file)"
