"""Energy, forces and stress of a structure, under the names that files give them. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from potential.data.frame import Frame
from potential.data.from_ase import UNITS_KEY
from potential.data.stress import full_stress, stress_of_virial

ENERGY, FREE_ENERGY, FORCES = "energy", "free_energy", "forces"
# Printed with eight digits, the same energy may differ in the last.
SAME_ENERGY = 1e-6
STRESS, VIRIAL = ("stress", "stresses"), ("virial", "virials")
# A stress computed twice, or written with six digits, is the same stress.
SAME_STRESS = 1e-3
OTHER_UNITS = re.compile(
    r"hartree|bohr|kcal|kj|\bry|rydberg|gpa|kbar|\ba\.?u\b|\bha\b|ev/atom|mev|nm\b|j/mol", re.I
)
OTHER_LABEL = re.compile(
    r"\w+_(energy|forces?|stress|virials?)|(energy|forces?|stress|virials?)_(?!weight|scale|unit)\w+", re.I
)


@dataclass(frozen=True, kw_only=True)
class LabelKeys:
    """How a file calls the labels.

    Attributes:
        energy: e.g. "REF_energy". None: `energy`; or `free_energy` where a structure has another one of it,
            as metals have, since the forces are its derivative and not that of `energy`, which leaves the
            electrons' entropy out (Kresse and Furthmüller, Comput. Mater. Sci. 6, 15 (1996)).
        forces: e.g. "REF_forces".
        stress: e.g. "REF_stress", or of a virial, e.g. "REF_virial"; None: `stress` or `virial`, in any
            case, or with what `energy` has around "energy" (`REF_stress` beside `REF_energy`).
    """

    energy: str | None = None
    forces: str = FORCES
    stress: str | None = None

    @property
    def energy_name(self) -> str:
        """What the energy is called where nothing but its name counts."""
        return self.energy or ENERGY


@dataclass(frozen=True, kw_only=True)
class Found:
    """Energy in eV, forces in eV/Angstrom, stress in eV/Angstrom^3 (ASE's sign), and what to tell."""

    energy: float
    forces: Float64[np.ndarray, "atoms 3"]
    stress: Float64[np.ndarray, "3 3"] | None
    notes: tuple[str, ...]


def labels_of(atoms: Atoms, frame: Frame, keys: LabelKeys) -> Found:
    """The labels of one structure.

    Raises:
        ValueError: for a label that is missing, has the wrong shape or is not finite, for stress and
            virial that disagree, or units that are not the project's.
    """
    entries = everything_of(atoms)
    missing = [key for key in (keys.energy_name, keys.forces) if key not in entries]
    if missing:
        raise ValueError(
            f"no {' and no '.join(missing)}; it has {sorted(map(str, entries))}; {_remedy(entries, keys)}"
        )
    _refuse_other_units(entries)
    energy, of_energy = _energy(entries, keys)
    forces = _array(keys.forces, entries, len(frame))
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise ValueError(
            f"energy or forces are not finite ({keys.energy_name}, {keys.forces}); remove the structure"
        )
    stress, of_stress = _stress(entries, frame, keys)
    notes = (*of_energy, *of_stress, *_left_alone(entries, keys))
    return Found(energy=energy, forces=forces, stress=stress, notes=notes)


def everything_of(atoms: Atoms) -> dict[str, Any]:
    """All that the structure carries: info, columns and results, the latter first."""
    pairs: dict[str, Any] = atoms.info.get("key_value_pairs", {})
    results = atoms.calc.results if atoms.calc else {}
    return {**pairs, **atoms.info, **atoms.arrays, **results}


def _remedy(entries: Mapping[str, Any], keys: LabelKeys) -> str:
    def candidate(word: str, wanted: str) -> str:
        near = [str(key) for key in entries if word in str(key).lower()]
        return (
            wanted if wanted in entries else min(near, key=lambda key: ("free" in key, len(key)), default="")
        )

    energy, forces = candidate("energy", keys.energy_name), candidate("force", keys.forces)
    if not (energy and forces):
        return "label it first, with `alnico label`"
    return f"name them: --energy {energy} --forces {forces} (in Python energy=..., forces=...)"


def _energy(entries: Mapping[str, Any], keys: LabelKeys) -> tuple[float, tuple[str, ...]]:
    energy = _number(keys.energy_name, entries)
    if keys.energy is not None or keys.forces != FORCES or FREE_ENERGY not in entries:
        return energy, ()
    free = _number(FREE_ENERGY, entries)
    if abs(free - energy) <= SAME_ENERGY:
        return energy, ()
    return free, (
        f"the energy is read from {FREE_ENERGY}, whose derivative the forces are; {ENERGY} leaves the "
        "electrons' entropy out (--energy energy takes it all the same)",
    )


def _number(key: str, entries: Mapping[str, Any]) -> float:
    value = np.asarray(entries[key])
    if value.size != 1 or value.dtype.kind not in "if":
        raise ValueError(f"{key} is {entries[key]!r}, expected one number, the total energy in eV")
    return float(value.reshape(()))


def _array(key: str, entries: Mapping[str, Any], n_atoms: int) -> np.ndarray:
    value = np.array(entries[key])
    if value.size != 3 * n_atoms or value.dtype.kind not in "if":
        raise ValueError(f"{key} has shape {value.shape}, expected ({n_atoms}, 3), in eV/Å")
    return value.astype(np.float64).reshape(n_atoms, 3)


def _refuse_other_units(entries: Mapping[str, Any]) -> None:
    for key, said in entries.items():
        if isinstance(said, str) and UNITS_KEY.fullmatch(str(key)) and OTHER_UNITS.search(said):
            raise ValueError(
                f"its {key} says {said!r}; convert it to eV, eV/Å and eV/Å^3, and remove `{key}`"
            )


def _stress(
    entries: Mapping[str, Any], frame: Frame, keys: LabelKeys
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    names = _stress_names(entries, keys)
    if keys.stress is not None and keys.stress not in entries:
        raise ValueError(f"no {keys.stress}; it has {sorted(map(str, entries))}; name it with --stress")
    if not names:
        return None, ()
    if not all(frame.pbc):
        for name in names:  # what is no number is a fault all the same
            _checked(name, full_stress, entries[name])
        return None, tuple(f"{name} is not read: the structure is not periodic in 3D" for name in names)
    found = {name: _checked(name, _read_as(name, frame), entries[name]) for name in names}
    (first, value), *others = found.items()
    for name, other in others:
        if not np.abs(other - value).max() <= SAME_STRESS * max(np.abs(value).max(), 1e-3):
            raise ValueError(
                f"{first} and {name} (stress = -virial/V) disagree: {_shown(value)} and {_shown(other)} "
                f"eV/Å^3; remove the wrong one, or choose with --stress {first}"
            )
    if not _is_virial(first):
        return value, ()
    n = np.size(entries[first])
    order = "in the order xx yy zz yz xz xy, " if n == 6 else ""
    return value, (f"read the stress from {first} ({n} components, {order}stress = -virial/volume)",)


def _stress_names(entries: Mapping[str, Any], keys: LabelKeys) -> list[str]:
    """Stresses before virials."""
    if keys.stress is not None:
        return [keys.stress] if keys.stress in entries else []
    before, named, after = keys.energy_name.lower().partition("energy")
    for first, last in dict.fromkeys(((before, after) if named else ("", ""), ("", ""))):
        wanted = [first + word + last for word in (*STRESS, *VIRIAL)]
        if found := [key for word in wanted for key in entries if str(key).lower() == word]:
            # ASE names per-atom stresses `stresses`
            return [key for key in found if np.size(entries[key]) in (6, 9) or key.lower() != "stresses"]
    return []


def _read_as(name: str, frame: Frame) -> Any:
    return (lambda values: stress_of_virial(values, frame.cell)) if _is_virial(name) else full_stress


def _is_virial(name: str) -> bool:
    return "virial" in name.lower()


def _checked(name: str, read: Any, values: Any) -> np.ndarray:
    try:
        stress: np.ndarray = read(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} {error}") from error
    return stress


def _shown(stress: np.ndarray) -> str:
    return "[" + " ".join(f"{x:.6g}" for x in stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]) + "]"


def _left_alone(entries: Mapping[str, Any], keys: LabelKeys) -> list[str]:
    """Other labels in the file, such as REF_energy beside energy."""
    used = {keys.energy_name, keys.forces, keys.stress}
    others = [
        key
        for key in entries
        if str(key) not in used and OTHER_LABEL.fullmatch(str(key))
        if not str(key).startswith("free_") and np.asarray(entries[key]).dtype.kind in "if"
        if keys.stress is not None or key not in _stress_names(entries, keys)
    ]
    read = f"{keys.energy_name} and {keys.forces}"
    return [f"{', '.join(sorted(others))} not read, but {read}"] if others else []
