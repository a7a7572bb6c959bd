"""How far an atom's surroundings are from all that a training has seen. Free of torch.

    g_iek = sum over j of element e of  exp(-(r_ij - mu_k)^2 / (2 w^2)) f(r_ij),
    f(r)  = (1 + cos(pi r / r_c)) / 2,
    d_i   = min over training atoms n of the element of i of  |g_i - g_n|,
    x_i   = d_i / D_z

| symbol | variable | |
|---|---|---|
| mu_k, w, r_c | `CENTRES_A`, `WIDTH_A`, `CUTOFF_A` | Angstrom |
| g_i | a row of `features` | |
| D_z | `scales` | 99 % of the training atoms of element z have a like one in another frame within it |
| x_i | `KnownEnvironments.extrapolation` | about 1 and below: known; above `OUTSIDE`: not |

The members of a committee agree on much that none of them has seen, such as a bond that is compressed:
their disagreement levels off while the error grows by a factor of ten. This distance does not come from
the members, and grows. g: radial symmetry functions (Behler, J. Chem. Phys. 134, 074106 (2011)). Distance
to the training data as a sign of the error: Janet et al., Chem. Sci. 10, 7913 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int64
from matscipy.neighbours import neighbour_list
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.spatial.distance import cdist

from potential.data.frame import Frame
from potential.data.plausibility import box
from potential.data.sealed import ALTERED, SEAL, digest_of_arrays

CUTOFF_A, WIDTH_A = 4.0, 0.12
CENTRES_A = np.arange(0.6, CUTOFF_A + 1e-9, 0.1)
SHARE = 0.99
OUTSIDE = 1.5
"""x above which an atom's surroundings are called unknown; docs/using_a_potential.md has what it finds."""
GROWTH = 2.0
"""Exponent of x in the expected error, as the benchmark `scans` finds it for ethanol and aspirin."""
MOST, MOST_FOR_SCALE = 20_000, 1000
"""Atoms of an element that are kept, and from which `scale` is taken."""
FILE = "environments.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownEnvironments:
    """The surroundings of all atoms of the training frames.

    Attributes:
        elements: atomic numbers that they have, ascending.
        numbers: the atomic number of each.
        features: g of each.
        scales: D of each element; 0 where all its atoms are alike.
    """

    elements: Int64[np.ndarray, "elements"]
    numbers: Int64[np.ndarray, "environments"]
    features: Float[np.ndarray, "environments features"]
    scales: Float64[np.ndarray, "elements"]

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> KnownEnvironments:
        """Of training frames.

        Raises:
            ValueError: for no frames.
        """
        if not frames:
            raise ValueError("known environments are those of the training frames, got none")
        elements = np.unique(np.concatenate([frame.numbers for frame in frames]))
        numbers = np.concatenate([frame.numbers for frame in frames])
        owner = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
        features = np.concatenate([surroundings(frame, elements) for frame in frames])
        rng = np.random.default_rng(0)
        rows = [np.sort(rng.permutation(np.flatnonzero(numbers == z))[:MOST]) for z in elements]
        kept = np.concatenate(rows)
        return cls(
            elements=elements,
            numbers=numbers[kept],
            features=features[kept].astype(np.float32),
            scales=np.array([_scale(features[some], owner[some], rng) for some in rows]),
        )

    def extrapolation(self, frame: Frame) -> Float64[np.ndarray, "atoms"]:
        """x of each atom; infinite for an element, or beside one, that the training has not seen."""
        strange = ~np.isin(frame.numbers, self.elements)
        found = np.full(len(frame), np.inf)
        if strange.all():
            return found
        features = surroundings(frame, self.elements).astype(np.float32)
        for element, scale in zip(self.elements, self.scales, strict=True):
            mine = frame.numbers == element
            found[mine] = self._distance(features[mine], int(element)) / max(scale, 1e-6)
        found[_beside(frame, strange)] = np.inf
        return found

    def _distance(
        self, features: Float[np.ndarray, "atoms features"], element: int
    ) -> Float64[np.ndarray, "atoms"]:
        """From each atom to the nearest known one of the element, by |a - b|^2 = |a|^2 - 2 a.b + |b|^2."""
        known, squares = self._of_element[element]
        atoms = features.astype(np.float64)
        nearest = (squares - 2.0 * atoms @ known.T).min(axis=1) + (atoms**2).sum(axis=1)
        distance: np.ndarray = np.sqrt(np.maximum(nearest, 0.0))
        return distance

    @cached_property
    def _of_element(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """For each element g of its atoms, and |g|^2."""
        by_element = {int(z): self.features[self.numbers == z].astype(np.float64) for z in self.elements}
        return {z: (known, (known**2).sum(axis=1)) for z, known in by_element.items()}

    def save(self, folder: Path) -> None:
        """Write them beside a potential's weights."""
        arrays = {
            "elements": self.elements,
            "numbers": self.numbers,
            "features": np.ascontiguousarray(self.features),
            "scales": self.scales,
        }
        (folder / FILE).write_bytes(save(arrays, metadata={SEAL: digest_of_arrays(arrays)}))

    @classmethod
    def load(cls, folder: Path) -> KnownEnvironments | None:
        """Those of a potential; None for one of an older version, which has none.

        Raises:
            ValueError: for a damaged file.
        """
        if not (folder / FILE).exists():
            return None
        try:
            with safe_open(folder / FILE, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                said = (file.metadata() or {}).get(SEAL)
            if said not in (None, digest_of_arrays(arrays)):
                raise ValueError(ALTERED)
            return cls(**{name: arrays[name] for name in ("elements", "numbers", "features", "scales")})
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            why = f"{folder / FILE} is damaged: {error}; copy the potential anew, or delete it"
            raise ValueError(why) from error


def growth(extrapolation: Float64[np.ndarray, "atoms"]) -> Float64[np.ndarray, "atoms"]:
    """By which an expected error grows outside of the training: max(1, x)^`GROWTH`."""
    factor: np.ndarray = np.maximum(1.0, extrapolation) ** GROWTH
    return factor


def farthest(frame: Frame, extrapolation: Float64[np.ndarray, "atoms"]) -> str:
    """For messages: `surroundings of C1 are 3.2 times as far from training as usual`."""
    worst = int(np.argmax(extrapolation))
    name = f"{frame.symbols[worst]}{worst}"
    return (
        f"the surroundings of {name} are {extrapolation[worst]:.1f} times as far from the training as usual"
    )


def surroundings(
    frame: Frame, elements: Int64[np.ndarray, "elements"]
) -> Float64[np.ndarray, "atoms features"]:
    """g of each atom, of neighbours of these elements (ascending atomic numbers)."""
    found = np.zeros((len(frame), len(elements), len(CENTRES_A)))
    first, second, distance = _pairs(frame)
    inside = np.isin(frame.numbers[second], elements)
    first, second, distance = first[inside], second[inside], distance[inside]
    smooth = (1 + np.cos(math.pi * distance / CUTOFF_A)) / 2
    bumps = np.exp(-((distance[:, None] - CENTRES_A) ** 2) / (2 * WIDTH_A**2)) * smooth[:, None]
    np.add.at(found, (first, np.searchsorted(elements, frame.numbers[second])), bumps)
    return found.reshape(len(frame), -1)


def _pairs(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second atom, and distance, of all pairs within the cutoff, images included."""
    found: tuple[np.ndarray, np.ndarray, np.ndarray] = neighbour_list(
        "ijd",
        positions=frame.positions,
        cell=box(frame),
        pbc=list(frame.pbc),
        cutoff=CUTOFF_A,
        cell_origin=frame.positions.min(axis=0),
    )
    return found


def _beside(frame: Frame, strange: np.ndarray) -> np.ndarray:
    """The atoms within the cutoff of a strange one."""
    if not strange.any():
        return np.zeros(0, dtype=int)
    first, second, _ = _pairs(frame)
    return np.unique(first[strange[second]])


def _scale(features: np.ndarray, owner: np.ndarray, rng: np.random.Generator) -> float:
    """Quantile of the distances of some atoms to the nearest in another frame; 0 where there is none."""
    some = rng.permutation(len(features))[:MOST_FOR_SCALE]
    distances = cdist(features[some], features)
    distances[owner[some][:, None] == owner[None, :]] = np.inf
    nearest = distances.min(axis=1)
    finite = nearest[np.isfinite(nearest)]
    return float(np.quantile(finite, SHARE)) if len(finite) else 0.0
