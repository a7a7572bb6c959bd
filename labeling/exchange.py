"""Labels in and out of a store as extxyz, each with its level of theory, units and provenance.

Forces are written to 1e-8 eV/Angstrom, as the format has them. Only labels of a level that the store's
owner works at are taken in: a potential learned from two levels at once is wrong everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from pydantic import TypeAdapter, ValidationError

from labeling.checks import CheckLimits, checked
from labeling.failure import RejectedByCheckError
from labeling.level import LevelOfTheory
from labeling.recorded import RECORDED
from labeling.rows import LABELLED
from labeling.store import LabelStore
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.from_ase import user_info
from potential.data.json_text import decode_json
from potential.data.stress import full_stress
from potential.data.structure_files import UNITS, write_frames

LEVELS: TypeAdapter[LevelOfTheory] = TypeAdapter(LevelOfTheory)


def export_labels(store: LabelStore, path: Path, level_key: str | None = None) -> int:
    """Write every label, of one level or of all, to an extxyz file; returns how many.

    The file appears whole or not at all.
    """
    items = [item for item in store if level_key in (None, item.label.level_key)]
    write_frames(path, items)
    return len(items)


def read_labels(path: Path) -> list[LabelledFrame]:
    """The labels of a file that `export_labels` wrote.

    Raises:
        ValueError: for a structure without level of theory or label, or whose id is not its content's.
    """
    found = ase.io.read(path, index=":", format="extxyz")
    return [_labelled(atoms, f"{path}, structure {i}") for i, atoms in enumerate(found)]


def import_labels(store: LabelStore, path: Path, level_key: str) -> int:
    """Take the labels of a file into the store; all of them or, on an error, none.

    Returns:
        How many are new.

    Raises:
        ValueError: as `read_labels`; and if a label belongs to another level than `level_key`.
    """
    items = read_labels(path)
    for i, item in enumerate(items):
        if item.label.level_key != level_key:
            raise ValueError(
                f"{path}, structure {i}: its label was made at {describe(item.label)}, not at {level_key}; "
                "labels of two levels of theory do not mix, import it into a store of its own"
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
    frame = Frame.from_atoms(atoms, origin=origin, info=user_info(info))
    # Some hex digits read as a number, and the extxyz reader takes them for one.
    if isinstance(info.get("frame_id"), str) and info["frame_id"] != frame.id:
        raise ValueError(f"{what}: it says {info['frame_id']}, its content is {frame.id}: it was altered")
    provenance = decode_json(info["provenance"]) if "provenance" in info else {}
    level = _level(provenance)
    level_key = info["level_key"]
    if not isinstance(level_key, str) and level is not None:
        level_key = level.key
    results = atoms.calc.results
    stress = results.get("stress")
    label = Label(
        frame_id=frame.id,
        level_key=str(level_key),
        energy=float(results["energy"]),
        forces=np.array(results["forces"], dtype=np.float64),
        stress=None if stress is None else full_stress(stress),
        provenance=provenance,
    )
    return LabelledFrame(frame=frame, label=label)


def _level(provenance: Mapping[str, Any]) -> LevelOfTheory | None:
    settings = provenance.get("level")
    return None if settings is None else LEVELS.validate_python(settings, context=RECORDED)
