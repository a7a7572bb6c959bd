"""Frames from other programs' objects and from ASE's molecule database. Free of torch."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.build import molecule as ase_molecule
from ase.build.molecule import extra
from ase.collections import g2
from ase.data import atomic_masses

from potential.data.frame import Frame
from potential.data.from_ase import (
    charges_of_atoms,
    fixed_atoms,
    left_alone,
    refuse_isotopes,
    refuse_other_lengths,
    refuse_other_masses,
    refuse_partial_occupancy,
    user_info,
)
from potential.data.plausibility import check_frame, lowest_spin
from potential.data.said import said_of
from potential.data.xyz_file import COMMENT

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
    notes: list[str] | None = None,
) -> Frame:
    """A frame from `ase.Atoms` or a pymatgen `Molecule` or `Structure`.

    Args:
        structure: the object.
        charge: elementary charges; by default what the object says (`potential.data.said`), else 0.
        spin: unpaired electrons (2S); by default what the object says (multiplicity - 1, magnetic
            moments), else the fewest that the electrons allow.
        origin: where the structure came from.
        notes: what was understood or left alone is appended here.

    Raises:
        TypeError: for an object of another kind.
        ValueError: for partial occupancies, isotopes, dummy atoms, constraints that a frame cannot keep,
            or a charge or spin that is no integer or contradicts itself.
    """
    if not isinstance(structure, Atoms):
        return _from_pymatgen(structure, charge=charge, spin=spin, origin=origin)
    refuse_partial_occupancy(structure)
    refuse_other_masses(structure)
    entries = {**structure.info.get("key_value_pairs", {}), **structure.info}
    refuse_other_lengths(entries)
    comment = str(entries.get(COMMENT, ""))
    said = said_of(entries, structure.numbers, comment=comment, charge=charge, spin=spin)
    if charge is None:
        charge = said.charge
    if charge is None:
        charge = _integer("charge", charges_of_atoms(structure).sum())
    if spin is None:
        spin = said.spin
    if spin is None:
        spin = _spin_of_moments(structure.get_initial_magnetic_moments(), structure.numbers, charge)
    if notes is not None:
        notes += [*said.notes, *left_alone(structure, comment, charge=charge, spin=spin)]
    return Frame.of(
        structure.numbers,
        structure.positions,
        structure.cell.array,
        structure.pbc,
        charge=charge,
        spin=spin,
        origin=origin,
        fixed=fixed_atoms(structure),
        info=user_info(structure.info, without=said.keys),
    )


def _spin_of_moments(moments: np.ndarray, numbers: np.ndarray, charge: int) -> int:
    lowest = lowest_spin(numbers, charge)
    unpaired = abs(round(float(np.sum(moments))))
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
    masses = [float(getattr(site.specie, "atomic_mass", atomic_masses[site.specie.Z])) for site in structure]
    refuse_isotopes(numbers, np.array(masses))
    charge = _integer("charge", structure.charge or 0) if charge is None else charge
    if isinstance(structure, IMolecule):
        cell, pbc = None, (False, False, False)
        known = charge == round(structure.charge)
        said = round(structure.spin_multiplicity) - 1 if known else None
    else:
        cell, pbc = structure.lattice.matrix, structure.lattice.pbc
        said = None
    spin = said if spin is None else spin
    if spin is None:
        moments = structure.site_properties.get("magmom")
        collinear = moments is not None and np.ndim(moments) == 1 and None not in moments
        spin = _spin_of_moments(np.array(moments if collinear else [0.0], float), numbers, charge)
    return Frame.of(
        numbers,
        structure.cart_coords,
        cell,
        pbc,
        charge=charge,
        spin=spin,
        origin=origin,
        fixed=_selective_dynamics(structure),
        info=user_info(structure.properties),
    )


def _selective_dynamics(structure: IMolecule | IStructure) -> list[int]:
    flags = structure.site_properties.get("selective_dynamics")
    if flags is None:
        return []
    free = np.array([[True] * 3 if flag is None else flag for flag in flags], dtype=bool)
    if (free.any(axis=1) & ~free.all(axis=1)).any():
        raise ValueError(
            "selective_dynamics holds atoms along some directions only; a frame keeps only atoms that are "
            "fixed in all directions: fix them so, or remove it"
        )
    return [int(i) for i in np.flatnonzero(~free.any(axis=1))]


def _integer(name: str, value: Any) -> int:
    number = float(value)
    if not abs(number - np.rint(number)) <= 1e-3:
        raise ValueError(f"{name} is {value}, expected an integer; give it explicitly, e.g. {name}=0")
    return round(number)


def _database_name(name: str) -> str:
    names: list[str] = [*g2.names, *extra]
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
