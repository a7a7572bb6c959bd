"""Labels in and out of a store as extxyz, each with its level of theory, units and provenance.

Forces are written to 1e-8 eV/Angstrom, as the format has them. Only labels of a level that the store's
owner works at are taken in: a potential learned from two levels at once is wrong everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from labeling.checks import CheckLimits, checked
from labeling.differences import differing_settings, recorded_level, what_differs
from labeling.failure import RejectedByCheckError
from labeling.level import LevelOfTheory, settings
from labeling.rows import LABELLED
from labeling.store import LabelStore
from potential.data.dataset import Label, LabelledFrame
from potential.data.formats import text_of
from potential.data.json_text import decode_json
from potential.data.molecules import frame_of
from potential.data.plausibility import check_frame
from potential.data.role import Role, tagged
from potential.data.stress import full_stress
from potential.data.structure_files import UNITS, write_frames
from potential.data.xyz_file import read_structures


def export_labels(
    store: LabelStore, path: Path, level_key: str | None = None, *, roles: Mapping[str, Role] | None = None
) -> int:
    """Write every label, of one level or of all, to an extxyz file; returns how many.

    The file appears whole or not at all.

    Args:
        roles: of the frames by id, which the file then says (`role=test`).
    """
    items = [item for item in store if level_key in (None, item.label.level_key)]
    write_frames(path, tagged(items, roles or {}))
    return len(items)


def read_labels(path: Path) -> list[LabelledFrame]:
    """The labels of a file that `export_labels` wrote.

    Raises:
        ValueError: for a structure without level of theory or label, or whose id is not its content's.
    """
    found = read_structures(text_of(path), slice(None))
    return [_labelled(atoms, f"{path}, structure {i}") for i, atoms in enumerate(found)]


def import_labels(
    store: LabelStore, path: Path, level_key: str, *, level: LevelOfTheory | None = None
) -> int:
    """Take the labels of a file into the store; all of them or, on an error, none.

    Args:
        level: that of `level_key`, to say how another differs; None: the store's labels tell.

    Returns:
        How many are new.

    Raises:
        ValueError: as `read_labels`; and if a label belongs to another level than `level_key`.
    """
    items = read_labels(path)
    for i, item in enumerate(items):
        if item.label.level_key != level_key:
            wanted = level or known_level(store, level_key)
            raise ValueError(
                f"{path}, structure {i}: its label was made at {describe(item.label)}, not at "
                f"{level_key if wanted is None else wanted.name}{_how(item.label, wanted)}; labels of two "
                "levels of theory do not mix, import it into a store of its own"
            )
        _refuse_if_unsound(item, f"{path}, structure {i}")
    return store.add_all(items)


def level_of(label: Label) -> LevelOfTheory | None:
    """The level of theory that a label's provenance tells; None if it tells none."""
    return _level(label.provenance)


def describe(label: Label) -> str:
    """`PBE/def2-SVP (f2c1ba42e2e1)`."""
    try:
        level = level_of(label)
    except ValidationError:
        level = None
    return label.level_key if level is None else f"{level.name} ({label.level_key})"


def name_of(store: LabelStore, level_key: str) -> str:
    """`PBE/def2-SVP (f2c1ba42e2e1)` for a level of a store; its key where no label tells more."""
    first = next(store.rows(level_key, LABELLED), None)
    return level_key if first is None else describe(first.label)


def known_level(store: LabelStore, level_key: str) -> LevelOfTheory | None:
    """A level of theory as the store's labels of it tell; None where they tell nothing."""
    first = next(store.rows(level_key, LABELLED), None)
    try:
        return None if first is None else level_of(first.label)
    except ValidationError:
        return None


def names_apart(store: LabelStore, level_keys: Iterable[str]) -> list[str]:
    """`PBE/def2-SVP, grid_level 3 (f2c1ba42e2e1)`: names, with the settings that not all of them share."""
    levels = {key: known_level(store, key) for key in level_keys}
    told = {key: level for key, level in levels.items() if level is not None}
    return [f"{told[key].name}{_own(told, key)} ({key})" if key in told else key for key in levels]


def _own(levels: Mapping[str, LevelOfTheory], key: str) -> str:
    """What tells a level from those of the same name."""
    mine = levels[key]
    names = [
        name
        for other in levels.values()
        if other.name == mine.name
        for name, _, _ in differing_settings(mine, other)
    ]
    return "".join(f", {name} {settings(mine).get(name)}" for name in dict.fromkeys(names))


def _how(label: Label, wanted: LevelOfTheory | None) -> str:
    try:
        found = level_of(label)
    except ValidationError:
        found = None
    if found is None or wanted is None or not (different := what_differs(found, wanted)):
        return ""
    return f" ({different})"


def _refuse_if_unsound(item: LabelledFrame, what: str) -> None:
    if "released" in item.label.provenance:
        return
    try:
        checked(item.frame, item.label, CheckLimits())
    except RejectedByCheckError as error:
        raise ValueError(f"{what}: {error}") from error


def _labelled(atoms: Any, what: str) -> LabelledFrame:
    info = atoms.info
    if "level_key" not in info or atoms.calc is None or "forces" not in atoms.calc.results:
        raise ValueError(
            f"{what}: no label with its level of theory; give a file that `alnico labels export` wrote"
        )
    if info.get("units", UNITS) != UNITS:
        raise ValueError(f"{what}: its units are {info['units']!r}; expected {UNITS!r}")
    origin = decode_json(info["origin"]) if "origin" in info else {}
    try:
        frame = frame_of(atoms, origin=origin)
        check_frame(frame)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    if info.get("frame_id", frame.id) != frame.id:
        raise ValueError(f"{what}: it says {info['frame_id']}, its content is {frame.id}: it was altered")
    provenance = decode_json(info["provenance"]) if "provenance" in info else {}
    results = atoms.calc.results
    stress = results.get("stress")
    label = Label(
        frame_id=frame.id,
        level_key=str(info["level_key"]),
        energy=float(results["energy"]),
        forces=np.array(results["forces"], dtype=np.float64),
        stress=None if stress is None else full_stress(stress),
        provenance=provenance,
    )
    return LabelledFrame(frame=frame, label=label)


def _level(provenance: Mapping[str, Any]) -> LevelOfTheory | None:
    told = provenance.get("level")
    return None if told is None else recorded_level(told)
