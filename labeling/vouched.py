"""Labels that another program made, on a person's word that they are of a level of theory."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from labeling.checks import CheckLimits, checked
from labeling.exchange import describe
from labeling.failure import RejectedByCheckError
from labeling.level import LevelOfTheory
from potential.data.dataset import Label, LabelledFrame
from potential.data.label_keys import LabelKeys
from potential.data.structure_files import read_dataset


def read_vouched(
    path: Path,
    level: LevelOfTheory,
    *,
    keys: LabelKeys,
    charge: int | None = None,
    spin: int | None = None,
    unchecked: bool = False,
) -> list[LabelledFrame]:
    """The labels of a file, as labels of `level`; their provenance says on whose word, from which file.

    Args:
        path: any file with energies (eV) and forces (eV/Angstrom): extxyz, OUTCAR, vasprun.xml, ORCA's.
        keys: the file's names for them.
        charge, spin: of all structures; None: what the file says, else 0 and the fewest.
        unchecked: take labels that fail a check, such as a net force, on the same word.

    Raises:
        FileNotFoundError, ValueError: as `read_dataset`; for labels that say themselves that they are of
            another level; for one that fails a check.
    """
    digest, now = _digest(path), datetime.now(UTC).isoformat(timespec="seconds")
    found = read_dataset(
        path,
        level.key,
        energy=keys.energy,
        forces=keys.forces,
        stress=keys.stress,
        charge=charge,
        spin=spin,
    )
    items = []
    for i, item in enumerate(found):
        what = f"{path}, structure {i}"
        if item.label.level_key != level.key:
            raise ValueError(f"{what}: says that it is of {describe(item.label)}; import it without --vouch")
        provenance = {
            "level": level.model_dump(mode="json"),
            "vouched": {"level": level.name, "file": path.name, "sha256": digest, "structure": i, "at": now},
        }
        label = dataclasses.replace(item.label, provenance=provenance)
        items.append(dataclasses.replace(item, label=_checked(item, label, what, now, unchecked=unchecked)))
    return items


def _checked(item: LabelledFrame, label: Label, what: str, now: str, *, unchecked: bool) -> Label:
    try:
        checked(item.frame, label, CheckLimits())
    except RejectedByCheckError as error:
        if not unchecked:
            raise ValueError(f"{what}: {error}; --unchecked takes it all the same") from error
        note = {"kind": "rejected_by_check", "message": str(error), "released_at": now}
        return dataclasses.replace(label, provenance={**label.provenance, "released": note})
    return label


def _digest(path: Path) -> str | None:
    if not path.is_file():  # said by the reader
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
