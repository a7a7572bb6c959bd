"""What `ase.Atoms` say of a frame besides species, positions and cell. Free of torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from ase.data import atomic_masses, chemical_symbols

from potential.data.json_text import decode_json

OURS = (
    "charge",
    "spin",
    "frame_id",
    "origin",
    "level_key",
    "units",
    "provenance",
    "more_info",
    "status",
    "failure",
)
ASES = ("key_value_pairs", "data", "unique_id", "spacegroup", "unit_cell", "occupancy", "calculator")
LABELS = (*all_properties, "virial", "virials", "stress", "energy", "forces")
ISOTOPE_AMU = 0.5
OCCUPANCY = re.compile(r"(?i)(site_?)?occ(upanc(y|ies))?")
HELD = re.compile(
    r"(?i)(is_?)?(fix|fixed|frozen|freeze|constrain(ed|ts?)|selective_?dynamics|move?able|mobile|moves?)(_?atoms?)?"
    r"(_?(indices|index|mask))?"
)
MASSES = re.compile(r"(?i)(atomic_?)?mass|isotopes?")
UNITS_KEY = re.compile(r"(\w+_)?units?(_\w+)?", re.I)
NOT_LENGTHS = re.compile(r"(?i)energ|force|stress|virial|charge|time|pressure")
OTHER_LENGTHS = re.compile(r"(?i)\b(bohrs?|a0|nm|nanomet\w+|pm|picomet\w+)\b|\batomic\b|\ba\.?u\b")
FORMAL_CHARGES = re.compile(r"(?i)formal_?charges?")


def refuse_partial_occupancy(atoms: Atoms) -> None:
    """Raise ValueError where a site is not occupied by exactly one atom, as CIF and PDB can say."""
    sites = atoms.info.get("occupancy")
    shared = [s for s in sites.values() if not _is_one_atom(s)] if isinstance(sites, Mapping) else []
    columns = [np.asarray(a, float) for name, a in atoms.arrays.items() if OCCUPANCY.fullmatch(name)]
    # 0 throughout is a column that nobody filled in
    partial = [c for c in columns if c.any() and not (np.abs(c - 1) < 1e-3).all()]
    if shared or partial:
        what = ", ".join(map(str, shared[:3])) or f"occupancies {sorted({*partial[0].ravel().tolist()})[:4]}"
        raise ValueError(
            f"{atoms.get_chemical_formula()} has partially occupied sites ({what}); make an ordered "
            "structure of it first "
            "(pymatgen.transformations.standard_transformations.OrderDisorderedStructureTransformation)"
        )


def _is_one_atom(site: Mapping[str, Any]) -> bool:
    """CIF writes `?` or `.` where nobody knows, and then means 1."""
    known = [share for share in site.values() if not isinstance(share, str)]
    return len(site) == 1 and all(abs(share - 1) < 1e-3 for share in known)


def charges_of_atoms(atoms: Atoms) -> np.ndarray:
    """ASE's initial charges, or a column of formal charges, in elementary charges."""
    columns = [a for name, a in atoms.arrays.items() if FORMAL_CHARGES.fullmatch(name) and a.ndim == 1]
    given: np.ndarray = columns[0] if columns else atoms.get_initial_charges()
    return given


def refuse_isotopes(numbers: np.ndarray, masses: np.ndarray) -> None:
    """Raise ValueError for masses (amu) of another isotope: dynamics would move the common one."""
    common = atomic_masses[numbers]
    other = np.flatnonzero(~(np.abs(masses - common) < ISOTOPE_AMU))
    if len(other):
        k = int(other[0])
        raise ValueError(
            f"atom {k} ({chemical_symbols[numbers[k]]}) has the mass {masses[k]:g} amu, expected about "
            f"{common[k]:g}; frames carry no isotopes, and energies and forces do not depend on them: "
            "remove the masses, or write H for D"
        )


def refuse_other_masses(atoms: Atoms) -> None:
    """Raise ValueError for masses, or a column of isotopes, that are not those of the common elements."""
    if atoms.has("masses"):
        refuse_isotopes(atoms.numbers, atoms.get_masses())
    for name, values in atoms.arrays.items():
        if MASSES.fullmatch(name) and values.ndim == 1 and values.dtype.kind in "if":
            # 0 for the common one
            refuse_isotopes(atoms.numbers, np.where(values == 0, atomic_masses[atoms.numbers], values))


def refuse_other_lengths(entries: Mapping[str, Any]) -> None:
    """Raise ValueError where a structure says that its positions are not in Angstrom."""
    for key, said in entries.items():
        if not isinstance(said, str) or not UNITS_KEY.fullmatch(key) or NOT_LENGTHS.search(key):
            continue
        if OTHER_LENGTHS.search(said):
            raise ValueError(f"its {key} says {said!r}; convert it to Å, and remove `{key}`")


def left_alone(atoms: Atoms, comment: str, *, charge: int, spin: int) -> list[str]:
    """What seems to say charge, spin, fixed atoms or units, and is not read."""
    results = atoms.calc.results if atoms.calc else {}
    columns = {name: np.asarray(a) for name, a in {**atoms.arrays, **results}.items()}
    sums = {
        name: float(a.sum())
        for name, a in columns.items()
        if a.shape == (len(atoms),) and a.dtype.kind in "if" and not name.startswith("initial_")
    }
    notes = [
        f"the column {name} adds up to {total:.2f} and is not read; write charge={round(total)} if that is "
        "the total charge"
        for name, total in sums.items()
        if "charge" in name.lower() and not FORMAL_CHARGES.fullmatch(name) and round(total) != charge
    ]
    notes += [
        f"the column {name} adds up to {total:.2f} and is not read; write spin={abs(round(total))} if so "
        "many electrons are unpaired"
        for name, total in sums.items()
        if re.search(r"(?i)spin|magmom", name) and abs(round(total)) != spin
    ]
    notes += [
        f"{key} is not read; the column move_mask:L:1 says which atoms may not move (F)"
        for key, value in atoms.info.items()
        if HELD.fullmatch(str(key)) and not isinstance(value, bool | np.bool_)
    ]
    if re.search(r"(?i)\bbohrs?\b", comment):
        notes.append(f"positions are read in Å, and the comment is {comment.strip()[:80]!r}")
    return notes


def held_columns(atoms: Atoms) -> list[str]:
    """Columns that seem to say which atoms may not move, in no spelling of ASE's."""
    return [name for name in atoms.arrays if HELD.fullmatch(name)]


def fixed_atoms(atoms: Atoms) -> tuple[int, ...]:
    """Indices of the atoms that may not move, by FixAtoms or in all three directions.

    Raises:
        ValueError: for constraints of another kind, which a frame cannot keep, and for columns that seem to
            hold atoms in a spelling of their own.
    """
    if held := held_columns(atoms):
        raise ValueError(
            f"the column {held[0]} is not read, and seems to hold atoms; say so with the column "
            "move_mask:L:1 (F for an atom that may not move), or remove it"
        )
    fixed: set[int] = set()
    for constraint in atoms.constraints:
        if not fixes_wholly(constraint):
            raise ValueError(
                f"{type(constraint).__name__} holds atoms partly or in relation to one another; a frame "
                "keeps only atoms that are fixed in all directions (FixAtoms, `F F F` in a POSCAR): fix them "
                "so, or remove the constraint"
            )
        fixed.update(int(i) for i in np.atleast_1d(constraint.index))
    return tuple(sorted(fixed))


def fixes_wholly(constraint: Any) -> bool:
    """Whether an ASE constraint holds its atoms in all three directions."""
    return isinstance(constraint, FixAtoms) or (
        isinstance(constraint, FixCartesian | FixScaled) and bool(np.all(constraint.mask))
    )


def user_info(info: Mapping[str, Any], without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The entries of `atoms.info` that are the user's own, as JSON values.

    Left out are those of the project and of ASE, labels (which belong to a level of theory), what JSON
    cannot hold, and the keys of `without`.
    """
    more = info.get("more_info", {})
    given = {**info.get("key_value_pairs", {}), **info, **_decoded(more)}
    found = {}
    for key, value in given.items():
        if key in (*OURS, *ASES, *LABELS) or key in without or not isinstance(key, str):
            continue
        if key.startswith("origin_"):  # a column of a label store
            continue
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        try:
            found[key] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return found


def _decoded(text: Any) -> dict[str, Any]:
    """What extxyz would not have given back as it was."""
    try:
        return decode_json(text)
    except (TypeError, ValueError, AttributeError):
        return {}  # another program's
