"""Frames from other programs' objects and from ASE's molecule database. Free of torch."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.build import molecule as ase_molecule
from ase.build.molecule import extra
from ase.collections import g2

from potential.data.frame import Frame
from potential.data.plausibility import check_frame, lowest_spin

if TYPE_CHECKING:
    from pymatgen.core import IMolecule, IStructure

COMMON_NAMES = {
    "water": "H2O",
    "ammonia": "NH3",
    "methane": "CH4",
    "ethane": "C2H6",
    "ethylene": "C2H4",
    "acetylene": "C2H2",
    "propane": "C3H8",
    "benzene": "C6H6",
    "methanol": "CH3OH",
    "ethanol": "CH3CH2OH",
    "formaldehyde": "H2CO",
    "acetaldehyde": "CH3CHO",
    "acetone": "CH3COCH3",
    "formic acid": "HCOOH",
    "acetic acid": "CH3COOH",
    "dimethyl ether": "CH3OCH3",
    "acetamide": "CH3CONH2",
    "pyridine": "C5H5N",
}


def molecule(name: str, *, charge: int = 0, spin: int | None = None) -> Frame:
    """A molecule by name, from the G2 set and a few more in ASE (`H2O`, `CH3CH2OH`, `ethanol`, ...).

    Args:
        name: ASE's name or one of `COMMON_NAMES`.
        charge: elementary charges.
        spin: unpaired electrons (2S); by default those of the database's neutral molecule (O2 has 2),
            for an ion the fewest that its electrons allow.

    Raises:
        ValueError: an unknown name (with the nearest known ones), or an impossible spin.
    """
    atoms = ase_molecule(_database_name(name))
    if spin is None:
        spin = (
            round(float(atoms.get_initial_magnetic_moments().sum()))
            if charge == 0
            else lowest_spin(atoms.numbers, charge)
        )
    frame = Frame.of(
        atoms.numbers, atoms.positions, charge=charge, spin=spin, origin={"source": f"molecule {name}"}
    )
    check_frame(frame)
    return frame


def frame_of(
    structure: Atoms | IMolecule | IStructure,
    *,
    charge: int | None = None,
    spin: int | None = None,
    origin: dict[str, Any] | None = None,
) -> Frame:
    """A frame from `ase.Atoms` or a pymatgen `Molecule` or `Structure`.

    Args:
        structure: the object.
        charge: elementary charges; by default what the object says, else 0.
        spin: unpaired electrons (2S); by default what the object says (multiplicity - 1, magnetic
            moments), else the fewest that the electrons allow.
        origin: where the structure came from.

    Raises:
        TypeError: for an object of another kind.
        ValueError: for partial occupancies, dummy atoms, or a charge that is not an integer.
    """
    if not isinstance(structure, Atoms):
        return _from_pymatgen(structure, charge=charge, spin=spin, origin=origin)
    said = {**structure.info.get("key_value_pairs", {}), **structure.info}
    if charge is None:
        charge = _integer("charge", said.get("charge", structure.get_initial_charges().sum()))
    if spin is None:
        spin = _spin_of(structure, said, charge)
    return Frame.from_atoms(structure, charge=charge, spin=spin, origin=origin)


def _spin_of(atoms: Atoms, said: dict[str, Any], charge: int) -> int:
    if "spin" in said:
        return _integer("spin", said["spin"])
    for key in ("multiplicity", "spin_multiplicity"):
        if key in said:
            return _integer(key, said[key]) - 1
    lowest = lowest_spin(atoms.numbers, charge)
    unpaired = abs(round(float(np.sum(atoms.get_initial_magnetic_moments()))))
    return unpaired if unpaired > lowest and (unpaired - lowest) % 2 == 0 else lowest


def _from_pymatgen(
    structure: IMolecule | IStructure,
    *,
    charge: int | None,
    spin: int | None,
    origin: dict[str, Any] | None,
) -> Frame:
    # Imported here: pymatgen takes seconds, and most campaigns never need it.
    from pymatgen.core import IMolecule, IStructure

    if not isinstance(structure, IMolecule | IStructure):
        raise TypeError(
            f"expected ase.Atoms or a pymatgen Molecule or Structure, got {type(structure).__name__}"
        )
    if not structure.is_ordered:
        raise ValueError(
            f"{structure.formula} has partially occupied sites; make an ordered structure of it first "
            "(pymatgen.transformations.standard_transformations.OrderDisorderedStructureTransformation)"
        )
    numbers = np.array([site.specie.Z for site in structure])
    charge = _integer("charge", structure.charge or 0) if charge is None else charge
    if isinstance(structure, IMolecule):
        cell, pbc = None, (False, False, False)
        known = charge == round(structure.charge)
        said = round(structure.spin_multiplicity) - 1 if known else None
    else:
        cell, pbc = structure.lattice.matrix, structure.lattice.pbc
        said = None
    if spin is None:
        spin = lowest_spin(numbers, charge) if said is None else said
    return Frame.of(numbers, structure.cart_coords, cell, pbc, charge=charge, spin=spin, origin=origin)


def _integer(name: str, value: Any) -> int:
    number = float(value)
    if abs(number - round(number)) > 1e-3:
        raise ValueError(f"{name} is {value}, expected an integer; give it explicitly, e.g. {name}=0")
    return round(number)


def _database_name(name: str) -> str:
    names = [*g2.names, *extra]
    known = {n.lower(): n for n in names} | COMMON_NAMES
    wanted = name.strip()
    if wanted in names:
        return wanted
    if wanted.lower() in known:
        return known[wanted.lower()]
    near = difflib.get_close_matches(wanted.lower(), known, n=4, cutoff=0.5)
    suggestion = ", ".join(n if n in COMMON_NAMES else known[n] for n in near) or "ethanol, H2O, C6H6"
    raise ValueError(
        f"no molecule named {name!r} in ASE's database; near: {suggestion}; "
        "or give a file with the structure (xyz, cif, POSCAR, ...)"
    )
