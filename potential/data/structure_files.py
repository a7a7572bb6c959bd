"""Structures in and out: files of many formats read, extxyz written. Free of torch.

Objects and molecules by name are in `potential.data.molecules`, the physical checks in
`potential.data.plausibility`; both are offered here too, so that one import serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointDFTCalculator
from ase.io.extxyz import key_val_dict_to_str

from potential.data.atomic_write import atomically
from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.formats import read_objects
from potential.data.frame import Frame
from potential.data.from_ase import fixes_wholly, held_columns, user_info
from potential.data.json_text import decode_json, encode_json
from potential.data.label_keys import LabelKeys, everything_of, labels_of
from potential.data.molecules import frame_of, molecule
from potential.data.notes import tell
from potential.data.plausibility import check_frame
from potential.data.xyz_comment import key_values, reserved_for

__all__ = [
    "check_frame",
    "frame_of",
    "frames_as_they_come",
    "molecule",
    "read_dataset",
    "read_frames",
    "write_frames",
]

KEY_DIGITS = 12
LEVEL = re.compile(r"(?i)(level|theory|level_?of_?theory|lot|xc|functional|xc_?functional|basis(_?set)?)")
"""What other programs call a level of theory, or a part of it."""
UNITS = "energy eV, forces eV/Angstrom, stress eV/Angstrom^3, positions Angstrom"


def read_frames(
    source: str | Path,
    *,
    charge: int | None = None,
    spin: int | None = None,
    index: str = ":",
    check: bool = True,
) -> list[Frame]:
    """Read the structures of a file: any format of `potential.data.formats` (xyz, cif, POSCAR, traj, ...).

    What was understood beyond the plain, or left alone, is told as a `StructureWarning`.

    Args:
        source: the file.
        charge: elementary charges, for every structure; by default what the file says, else 0.
        spin: unpaired electrons (2S), for every structure; by default what the file says, else the
            fewest that the electrons allow.
        index: which structures, in ASE's notation (":" all, "-1" the last, "::10" every tenth).
        check: refuse structures that are physically impossible (`check_frame`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an empty or unreadable file, or an impossible structure (says which and why).
    """
    path = Path(source)
    notes: list[str] = []
    objects = read_objects(path, index)
    frames = list(_frames(objects, path, charge=charge, spin=spin, check=check, notes=notes))
    tell(path, notes)
    return frames


def read_dataset(
    source: str | Path,
    level_key: str,
    *,
    energy: str | None = None,
    forces: str = "forces",
    stress: str | None = None,
    charge: int | None = None,
    spin: int | None = None,
) -> Dataset:
    """Read a file whose structures carry energies (eV) and forces (eV/Å), such as a labelled extxyz.

    A virial (eV) becomes a stress. Constraints do not matter to a label: those that a frame cannot keep
    are left out, with a note.

    Args:
        source: the file.
        level_key: names the level of theory that the labels were made at, where the file does not.
        energy: the file's name for the energy, e.g. "REF_energy"; None: `potential.data.label_keys` says.
        forces: the file's name for the forces, e.g. "REF_forces".
        stress: the file's name for the stress or the virial; None: `potential.data.label_keys` says.
        charge: as in `read_frames`.
        spin: as in `read_frames`.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`; also where a label is missing or not finite,
            where labels of two levels of theory are mixed, or two labels of one structure differ.
    """
    path = Path(source)
    keys = LabelKeys(energy=energy, forces=forces, stress=stress)
    objects, notes = _with_forces(read_objects(path), keys)
    for i, atoms in enumerate(objects):
        if not isinstance(atoms, Atoms):
            raise ValueError(f"{path}, structure {i}: a {type(atoms).__name__} carries no energy and forces")
    for atoms in objects:
        kept = [constraint for constraint in atoms.constraints if fixes_wholly(constraint)]
        if len(kept) < len(atoms.constraints):
            notes.append("constraints that hold atoms only partly are left out")
        atoms.set_constraint(kept)
        for column in held_columns(atoms):
            del atoms.arrays[column]
            notes.append(f"the column {column} is left out")
    frames = list(_frames(objects, path, charge=charge, spin=spin, check=True, notes=notes))
    for atoms in objects:
        atoms.set_constraint()  # ASE would set the forces of fixed atoms to zero
    items = []
    for i, (frame, atoms) in enumerate(zip(frames, objects, strict=True)):
        try:
            found = labels_of(atoms, frame, keys)
        except ValueError as error:
            raise ValueError(f"{path}, structure {i}: {error}") from error
        notes += found.notes
        label = Label(
            frame_id=frame.id,
            level_key=_level_key(atoms) or level_key,
            energy=found.energy,
            forces=found.forces,
            stress=found.stress,
            provenance={"file": str(path), "structure": i},
        )
        items.append(LabelledFrame(frame=frame, label=label))
    _refuse_mixed_levels(path, "level_key", [_level_key(atoms) for atoms in objects])
    for word in dict.fromkeys(key for atoms in objects for key in atoms.info if LEVEL.fullmatch(str(key))):
        _refuse_mixed_levels(path, word, [_words(atoms.info.get(word)) for atoms in objects])
    try:
        dataset = Dataset.of(items)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if twice := len(items) - len(dataset):
        notes.append(f"{len(items)} structures, {twice} of them there before with the same label")
    tell(path, notes)
    return dataset


def _with_forces(objects: Sequence[Any], keys: LabelKeys) -> tuple[Sequence[Any], list[str]]:
    """Without the steps of a program's output that have an energy alone, as the last of a relaxation."""
    alone = [
        isinstance(atoms, Atoms)
        and isinstance(atoms.calc, SinglePointDFTCalculator)
        and keys.forces not in everything_of(atoms)
        for atoms in objects
    ]
    if all(alone) or not any(alone):
        return objects, []
    kept = [atoms for atoms, left_out in zip(objects, alone, strict=True) if not left_out]
    return kept, [f"{sum(alone)} of {len(objects)} structures, which have no forces, are left out"]


def _frames(
    objects: Sequence[Any],
    path: Path,
    *,
    charge: int | None,
    spin: int | None,
    check: bool,
    notes: list[str],
) -> Iterator[Frame]:
    for i, atoms in enumerate(objects):
        try:
            origin = _origin(atoms, path, i)
            frame = frame_of(atoms, charge=charge, spin=spin, origin=origin, notes=notes)
            if check:
                check_frame(frame)
        except ValueError as error:
            raise ValueError(f"{path}, structure {i}: {error}") from error
        yield frame


def _level_key(atoms: Any) -> str | None:
    """The level of theory that a structure names. A key of digits alone reads as a number."""
    key = {**atoms.info.get("key_value_pairs", {}), **atoms.info}.get("level_key")
    if key is None:
        return None
    return f"{key:0{KEY_DIGITS}d}" if isinstance(key, int | np.integer) else str(key).removeprefix("level-")


def _words(value: Any) -> str | None:
    return None if value is None else str(value)


def _refuse_mixed_levels(path: Path, what: str, keys: Sequence[str | None]) -> None:
    first = {key: keys.index(key) for key in dict.fromkeys(keys)}
    if len(first) > 1:
        said = ", ".join(f"{key or 'none'} (structure {i})" for key, i in first.items())
        raise ValueError(
            f"{path} mixes labels of {len(first)} levels of theory: {what} {said}; a potential learns "
            "from one level: write one file for each (`alnico labels export` of one level)"
        )


def write_frames(path: str | Path, frames: Iterable[Frame | LabelledFrame]) -> None:
    """Write extxyz: charge, spin, id, origin; of labels the energy, forces, units and provenance.

    The file appears whole or not at all. `read_frames` gives the same frames back, with the same ids;
    `read_dataset` gives the labels (forces to 1e-8 eV/Å, as the format has them).
    """
    with atomically(Path(path)) as file:
        ase.io.write(file, [_annotated(frame) for frame in frames], format="extxyz")


@contextmanager
def frames_as_they_come(path: str | Path) -> Iterator[Callable[[Frame | LabelledFrame], None]]:
    """Write extxyz frame by frame, each in the file when the call returns, over whatever the file held.

    A process that is killed leaves the frames before, and at worst one that was cut off.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:

        def write(frame: Frame | LabelledFrame) -> None:
            ase.io.write(file, _annotated(frame), format="extxyz")
            file.flush()

        yield write


def _annotated(item: Frame | LabelledFrame) -> Atoms:
    atoms = item.to_atoms()
    frame = item.frame if isinstance(item, LabelledFrame) else item
    told = {key: value for key, value in frame.info.items() if _survives(key, value)}
    rest = {key: value for key, value in frame.info.items() if key not in told}
    atoms.info = {key: value for key, value in atoms.info.items() if key not in rest}
    if rest:
        atoms.info["more_info"] = encode_json(rest)
    atoms.info["origin"] = encode_json(frame.origin)
    if isinstance(item, LabelledFrame):
        atoms.info["level_key"] = item.label.level_key
        atoms.info["units"] = UNITS
        atoms.info["provenance"] = encode_json(item.label.provenance)
    return atoms


def _survives(key: str, value: Any) -> bool:
    """Whether extxyz gives an entry of `info` back as it is; a text that reads as a number does not."""
    if key in ("pbc", "Properties") or reserved_for(key):
        return False
    try:
        # what follows in the line must be unharmed, too
        line = key_val_dict_to_str({key: value, "after": 1})
        line.encode()
        back = key_values(line)
    except (ValueError, TypeError, AttributeError, IndexError):
        return False
    return "\n" not in line and user_info(back) == {key: value, "after": 1}


def _origin(atoms: Any, path: Path, index: int) -> dict[str, Any]:
    written = atoms.info.get("origin") if isinstance(atoms, Atoms) else None
    if isinstance(written, str) and written.startswith("{"):
        try:
            return decode_json(written)
        except ValueError:
            pass  # another program's "origin"
    said = {} if written is None else {"said": str(written)}
    return {"source": path.name, "structure": index, **said}
