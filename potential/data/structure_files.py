"""Structures in and out: files that ASE or pymatgen read, extxyz written. Free of torch.

Objects and molecules by name are in `potential.data.molecules`, the physical checks in
`potential.data.plausibility`; both are offered here too, so that one import serves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from potential.data.dataset import Dataset, Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.molecules import frame_of, molecule
from potential.data.plausibility import check_frame

__all__ = ["check_frame", "frame_of", "molecule", "read_dataset", "read_frames", "write_frames"]

UNITS = "energy eV, forces eV/Angstrom, stress eV/Angstrom^3, positions Angstrom"


def read_frames(
    source: str | Path,
    *,
    charge: int | None = None,
    spin: int | None = None,
    index: str = ":",
    check: bool = True,
) -> list[Frame]:
    """Read the structures of a file: any format of ASE (extxyz, cif, POSCAR, traj, db, ...) or pymatgen.

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
    frames = []
    for i, atoms in enumerate(_read(path, index)):
        try:
            frame = frame_of(atoms, charge=charge, spin=spin, origin=_origin(atoms, path, i))
            if check:
                check_frame(frame)
        except ValueError as error:
            raise ValueError(f"{path}, structure {i}: {error}") from error
        frames.append(frame)
    return frames


def read_dataset(
    source: str | Path,
    level_key: str,
    *,
    energy: str = "energy",
    forces: str = "forces",
    charge: int | None = None,
    spin: int | None = None,
) -> Dataset:
    """Read a file whose structures carry energies (eV) and forces (eV/Å), such as a labelled extxyz.

    Args:
        source: the file.
        level_key: names the level of theory that the labels were made at.
        energy: the file's name for the energy, e.g. "REF_energy".
        forces: the file's name for the forces, e.g. "REF_forces".
        charge: as in `read_frames`.
        spin: as in `read_frames`.

    Raises:
        FileNotFoundError, ValueError: as `read_frames`; also where a label is missing or not finite.
    """
    path = Path(source)
    frames = read_frames(path, charge=charge, spin=spin)
    items = []
    for i, (frame, atoms) in enumerate(zip(frames, _read(path, ":"), strict=True)):
        found: dict[str, Any] = {**atoms.info, **atoms.arrays, **(atoms.calc.results if atoms.calc else {})}
        missing = [key for key in (energy, forces) if key not in found]
        if missing:
            have = sorted(str(key) for key in found)
            raise ValueError(
                f"{path}, structure {i}: no {' and no '.join(missing)}; it has {have}; "
                'name them with energy="..." and forces="..."'
            )
        label = Label(
            frame_id=frame.id,
            level_key=level_key,
            energy=float(found[energy]),
            forces=np.array(found[forces], dtype=np.float64).reshape(-1, 3),
            stress=_stress(found.get("stress"), frame),
            provenance={"file": str(path), "structure": i},
        )
        if not (np.isfinite(label.energy) and np.isfinite(label.forces).all()):
            raise ValueError(f"{path}, structure {i}: energy or forces are not finite; remove the structure")
        items.append(LabelledFrame(frame=frame, label=label))
    return Dataset.of(items)


def write_frames(path: str | Path, frames: Iterable[Frame | LabelledFrame]) -> None:
    """Write extxyz: charge, spin, id, origin; of labels the energy, forces, units and provenance.

    The file appears whole or not at all. `read_frames` gives the same frames back, with the same ids;
    `read_dataset` gives the labels (forces to 1e-8 eV/Å, as the format has them).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            ase.io.write(file, [_annotated(frame) for frame in frames], format="extxyz")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _annotated(item: Frame | LabelledFrame) -> Atoms:
    atoms = item.to_atoms()
    frame = item.frame if isinstance(item, LabelledFrame) else item
    atoms.info["origin"] = encode_json(frame.origin)
    if isinstance(item, LabelledFrame):
        atoms.info["level_key"] = item.label.level_key
        atoms.info["units"] = UNITS
        atoms.info["provenance"] = encode_json(item.label.provenance)
    return atoms


def _read(path: Path, index: str) -> list[Any]:
    """ASE's atoms, or pymatgen's object for the files that only pymatgen reads."""
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*") if p.is_file()) if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"no file {path} (looked in {path.parent.resolve()}); that folder has {near[:10] or 'no files'}"
        )
    if not path.is_file() or path.stat().st_size == 0:
        what = "is empty" if path.is_file() else "is a folder, not a file"
        raise ValueError(f"{path} {what}; give a file with at least one structure (xyz, cif, POSCAR, ...)")
    try:
        read = ase.io.read(path, index=index)
    except Exception as ase_error:  # noqa: BLE001 - ASE's readers raise whatever they stumble over
        read = _read_with_pymatgen(path, ase_error)
    found: Sequence[Any] = read if isinstance(read, list) else [read]
    if not found:
        raise ValueError(f"{path} has no structure at index {index!r}; ':' takes all of them")
    return list(found)


def _read_with_pymatgen(path: Path, ase_error: Exception) -> Any:
    from pymatgen.core import Molecule, Structure

    reasons = [f"ASE: {_reason(ase_error)}"]
    for kind in (Structure, Molecule):
        try:
            return kind.from_file(path)
        except Exception as error:  # noqa: BLE001 - so do pymatgen's
            reasons.append(f"pymatgen {kind.__name__}: {_reason(error)}")
    raise ValueError(
        f"cannot read {path} as a structure. {'; '.join(reasons)}. "
        "Check the file's extension and content, or convert it to xyz or cif"
    ) from ase_error


def _reason(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0][:160]
    return f"{type(error).__name__} {first_line}".strip()


def _stress(value: Any, frame: Frame) -> np.ndarray | None:
    """As a 3x3 matrix; None where there is none or where the structure is no crystal."""
    if value is None or not all(frame.pbc):
        return None
    stress = np.array(value, dtype=np.float64)
    return voigt_6_to_full_3x3_stress(stress) if stress.size == 6 else stress.reshape(3, 3)


def _origin(atoms: Any, path: Path, index: int) -> dict[str, Any]:
    written = atoms.info.get("origin") if isinstance(atoms, Atoms) else None
    if isinstance(written, str) and written.startswith("{"):
        try:
            return decode_json(written)
        except ValueError:
            pass  # another program's "origin"
    return {"source": path.name, "structure": index}


def encode_json(origin: dict[str, Any]) -> str:
    """JSON that survives extxyz, whose readers drop backslashes and end a value at a double quote."""
    text = json.dumps(origin)
    for char, code in (("%", "%25"), ("\\", "%5C"), ("'", "%27"), ('"', "'")):
        text = text.replace(char, code)
    return text


def decode_json(text: str | dict[str, Any]) -> dict[str, Any]:
    """What `encode_json` wrote; ASE's reader may have parsed it already."""
    if isinstance(text, dict):
        return text
    for char, code in (('"', "'"), ("'", "%27"), ("\\", "%5C"), ("%", "%25")):
        text = text.replace(code, char)
    return dict(json.loads(text))
