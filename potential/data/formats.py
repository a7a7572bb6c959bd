"""One reader for each format, chosen by the file's name and, where that says too little, its content.

A reader's refusal is final: no other program is asked to make something of the file. Free of torch.

| format | reader |
|---|---|
| xyz, extxyz | `potential.data.xyz_file` (ASE's parser, strict about the file) |
| mol, sdf, mdl | `potential.data.mol_file` |
| json with pymatgen's `@module`; cssr, mcif, CHGCAR, LOCPOT | pymatgen |
| all others (cif, POSCAR, traj, db, gjf, ...) | ASE |
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, filetype, ioformats, open_with_compression, string2index

from potential.data import charge_in_files, mol_file, xyz_file
from potential.data.notes import UnreadableStructureError
from potential.data.passed_over import (
    REFUSED,
    check_symmetry,
    refuse_by_text,
    refuse_rows_beyond,
    with_plain_flags,
)

XYZ, MOL = (".xyz", ".extxyz", ".exyz"), (".mol", ".sdf", ".mdl")
PYMATGEN = ("*.cssr", "*.mcif", "*chgcar*", "*locpot*", "*aeccar*")
COMPRESSED = (".gz", ".bz2", ".xz")
PICKLED = ("bundletrajectory", "gpw", "mysql", "postgresql")
ULM = b"- of Ulm"
COMMA_CHARGE = re.compile(r"(?m)^([ \t]*[+-]?\d+)[ \t]*,[ \t]*(\d+)[ \t]*$")
SHELX_ATOM = re.compile(r"(?m)^ *([A-Za-z]+)\w* +\d+(?: +[+-]?[\d.]+){3} +([+-]?[\d.]+)")
ORCA_STEP = re.compile(r"ORCA (?:TERMINATED NORMALLY|GEOMETRY RELAXATION STEP)")
ORCA_ATOMS = re.compile(r"CARTESIAN COORDINATES \(ANGSTROEM\)\n-+\n((?:[ \t]*\S.*\n)+)")
RUNNER = re.compile(r"(?m)^begin\b")
PDB_CHARGE = re.compile(r"^(?:ATOM  |HETATM).{72}(\d)([+-])", re.M)


def read_objects(path: Path, index: str = ":") -> list[Any]:
    """The structures of a file, as `ase.Atoms` or pymatgen's objects.

    Args:
        path: the file.
        index: which, in ASE's notation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, is no structure file, or its reader refuses it.
    """
    _refuse_no_file(path)
    wanted = string2index(index)
    assert not isinstance(wanted, str), "an index of ase.db"
    try:
        found = _read(path, wanted if isinstance(wanted, slice) else slice(None))
    except Exception as error:  # readers raise whatever they stumble over
        raise UnreadableStructureError(f"cannot read {path}: {_reason(error)}") from error
    try:
        chosen = list(found) if isinstance(wanted, slice) else [found[wanted]]
    except IndexError:
        chosen = []
    if not chosen:
        raise ValueError(f"{path} has no structure at index {index!r}; ':' takes all of them")
    return chosen


def _read(path: Path, wanted: slice) -> Sequence[Any]:
    name = path.name.lower().removesuffix(path.suffix.lower() if path.suffix.lower() in COMPRESSED else "")
    if name.endswith(XYZ):
        return xyz_file.read_structures(text_of(path), wanted)
    if name.endswith(MOL):
        return mol_file.read_structures(text_of(path), wanted)
    if name.endswith(".json") and '"@module"' in (text := text_of(path)):
        return [_pymatgen_of(json.loads(text))]
    if name.endswith(".mcif"):
        refuse_by_text(text_of(path), "cif")
    if any(fnmatch(name, pattern) for pattern in PYMATGEN):
        from pymatgen.core import Structure

        return [Structure.from_file(path)]
    return _read_with_ase(path, wanted)


def _read_with_ase(path: Path, wanted: slice) -> list[Any]:
    kind = _kind(path)
    if kind in ("extxyz", "xyz"):
        return xyz_file.read_structures(text_of(path), wanted)
    if kind in ("mol", "sdf"):
        return mol_file.read_structures(text_of(path), wanted)
    if kind in PICKLED or (kind == "traj" and not path.read_bytes()[:16].startswith(ULM)):
        raise ValueError(f"the format ({kind}) can run code when it is read; convert it to xyz or traj")
    if kind in ("db", "json"):  # with its key-value pairs, which ase.io leaves behind
        with ase.db.connect(str(path), type=kind, use_lock_file=False) as database:
            return [_of_row(row) for row in database.select()][wanted]
    if kind == "lammps-dump-binary":
        raise ValueError("its atoms have types and no element; dump as text, with the column `element`")
    if kind in REFUSED:
        refuse_by_text(text_of(path), kind)
    if kind == "orca-output":
        _refuse_mixed_steps(text_of(path))
    if kind == "res":
        _refuse_shared_sites(text_of(path))
    more: dict[str, Any] = {}
    source: str | io.StringIO = str(path)
    if kind == "gaussian-in":
        # Gaussian takes "1,3" for charge and multiplicity, ASE "1 3" alone
        more, source = {"attach_calculator": True}, io.StringIO(COMMA_CHARGE.sub(r"\1 \2", text_of(path)))
    if kind == "vasp" and (flagged := with_plain_flags(text_of(path))) != text_of(path):
        source = io.StringIO(flagged)
    try:
        with warnings.catch_warnings():
            # that CASTEP is not installed, that a reader will move
            warnings.filterwarnings("ignore", module=r"ase\.(calculators|io)\.castep")
            warnings.filterwarnings("ignore", category=FutureWarning)
            read = ase.io.read(source, index=wanted, format=kind, do_not_split_by_at_sign=True, **more)
    except KeyError as error:
        if error.args[0] in ("D", "T"):
            raise ValueError(xyz_file.unknown_species(error.args[0])) from error
        raise
    found = list(read) if isinstance(read, list) else [read]
    if kind == "vasp":
        refuse_rows_beyond(text_of(path), len(found[0]))
    if kind == "cif":
        check_symmetry(text_of(path), found)
    if kind.startswith("lammps-dump"):
        for atoms in found:
            atoms.calc = None  # forces in units that it does not say, and an energy of 0 that ASE adds
    if kind == "gaussian-in":
        for atoms in found:
            said = atoms.calc.parameters
            atoms.info.update(charge=said.get("charge"), multiplicity=said.get("mult"))
            atoms.calc = None
    if kind in charge_in_files.KINDS:
        said = charge_in_files.charge_and_spin(text_of(path), kind)
        for atoms in found:
            atoms.info.update(said)
    if kind == "proteindatabank" and (charges := PDB_CHARGE.findall(text_of(path))):
        for atoms in found:
            # every model of a file repeats the same atoms
            atoms.info["charge"] = sum(int(sign + size) for size, sign in charges) // len(found)
    return found


def _kind(path: Path) -> str:
    """ASE's name of the format."""
    try:
        kind = filetype(str(path))
    except UnknownFileTypeError:
        kind = ""
    if kind == "runnerdata" and not RUNNER.search(text_of(path)):
        kind = "lammps-data"  # which is called .data as well
    if kind not in ioformats:
        raise ValueError(
            "neither its name nor its content tells a format that is read; name it by its format (.xyz, "
            ".cif, .vasp, .traj, ...), or convert it to xyz or cif"
        )
    return kind


def _of_row(row: Any) -> Atoms:
    """A row of ase.db with its pairs as they were written: ASE puts a sum of its own in place of `charge`."""
    atoms: Atoms = row.toatoms(add_additional_information=True)
    if pairs := atoms.info.get("key_value_pairs"):
        atoms.info["key_value_pairs"] = {key: vars(row).get(key, value) for key, value in pairs.items()}
    return atoms


def _refuse_mixed_steps(orca: str) -> None:
    """Raise ValueError where ASE, which takes a step's last atoms and first gradient, would mix two."""
    for step in ORCA_STEP.split(orca):
        if "CARTESIAN GRADIENT" in step and len({atoms.strip() for atoms in ORCA_ATOMS.findall(step)}) > 1:
            raise ValueError(
                "it holds several calculations, and which gradient belongs to which atoms cannot be told; "
                "give a file for each, or the .engrad files' numbers as extxyz"
            )


def _refuse_shared_sites(shelx: str) -> None:
    """Raise ValueError for an occupancy (the number after the position) that is not 1, or 11: fixed at 1."""
    elements = {word.upper() for line in re.findall(r"(?im)^SFAC(.*)$", shelx) for word in line.split()}
    for name, occupancy in SHELX_ATOM.findall(shelx):
        if name.upper() in elements and abs(abs(float(occupancy)) % 10 - 1) > 1e-3:
            raise ValueError(f"{name} has the occupancy {occupancy}; make an ordered structure of it first")


def _pymatgen_of(content: dict[str, Any]) -> Any:
    from pymatgen.core import Molecule, Structure

    kinds: dict[str, Any] = {
        "Molecule": Molecule,
        "IMolecule": Molecule,
        "Structure": Structure,
        "IStructure": Structure,
    }
    kind = kinds.get(str(content.get("@class")))
    if kind is None:
        raise ValueError(f"its @class is {content.get('@class')!r}, expected one of {', '.join(kinds)}")
    return kind.from_dict(content)


def text_of(path: Path) -> str:
    """What a file, compressed or not, holds as UTF-8.

    Raises:
        ValueError: where it is not.
    """
    try:
        with open_with_compression(str(path), "rb") as file, io.TextIOWrapper(file, "utf-8-sig") as text:
            return text.read()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not UTF-8; save the file as UTF-8 text, or, if it "
            "is compressed, name it so (.gz, .bz2, .xz)"
        ) from error


def _refuse_no_file(path: Path) -> None:
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*") if p.is_file()) if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"no file {path} (looked in {path.parent.resolve()}); that folder has {near[:10] or 'no files'}"
        )
    if not path.is_file() or path.stat().st_size == 0:
        what = (
            "is empty" if path.is_file() else f"is {'a folder' if path.is_dir() else 'a device'}, not a file"
        )
        raise UnreadableStructureError(
            f"{path} {what}; give a file with at least one structure (xyz, cif, POSCAR, ...)"
        )


def _reason(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0][:300]
    return first_line if type(error) is ValueError else f"{type(error).__name__} {first_line}".strip()
