"""What ASE's readers pass over in a file's text although the structure depends on it. Free of torch.

Units that are not read, types without elements, jobs that are run together: such a file is refused, with
what to do. A POSCAR's flags are put into the one spelling that ASE knows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from potential.data.notes import StructureWarning

OTHER_STYLES = "lj|real_?lj|si|cgs|electron|micro|nano"
ROUTE = r"(?ims)^[ \t]*#(?:(?!\n[ \t]*\n).){0,2000}?"
ISOTOPES = "it has isotopes; frames carry none, and energies and forces do not depend on them: remove them"
HELD = "it holds atoms (`{}`), which is not read; give them as extxyz with the column move_mask:L:1"
REFUSED: dict[str, tuple[tuple[str, str], ...]] = {
    "abinit-in": (
        (r"(?i)\bxcart\b[\s\d.ed+-]*?\bangstr\w*", "its xcart is not in Bohr; write xangst"),
        (r"(?i)\bnatfix[xyz]?\s+[1-9]\d*", HELD),
    ),
    "cif": (
        (
            r"(?im)^[ \t]*_cell_length_[abc]\s+['\"]?-\S*",
            "the length of a lattice vector is positive, in Å, and it has `{}`",
        ),
    ),
    "gaussian-in": (
        (
            ROUTE + r"\bunits?\b[\s=(]+[^)\n]{0,200}?\b(?:au|bohr)\b",
            "its positions are in Bohr; give them in Å",
        ),
        (r"(?im)^[ \t]*--link1--", "it holds several jobs (--Link1--); give a file for each"),
        (r"(?im)^[ \t]*\w+\([^)\n]*\biso\s*=", ISOTOPES),
    ),
    "lammps-data": (
        (
            r"(?ms)\A(?!.*^[ \t]*(?:Masses|Atom Type Labels)\b)",
            "its atoms have types and no element; add the section `Masses` (amu) or `Atom Type Labels`",
        ),
        (rf"\A[^\n]*\bunits\s*=\s*(?:{OTHER_STYLES})\b", "its units are others than Å (metal, real): `{}`"),
    ),
    "lammps-dump-text": (
        (
            r"(?m)^ITEM: ATOMS(?!.*\b(?:element|mass)\b)",
            "its atoms have types and no element; dump the column `element` (dump_modify ... element Na Cl)",
        ),
        (rf"ITEM: UNITS\s*\n\s*(?:{OTHER_STYLES})\b", "its units are others than Å (metal, real)"),
    ),
    "nwchem-in": ((r"(?im)^[ \t]*(?:fix\s+atom|set\s+geometry:actlist)\b.*", HELD),),
    "proteindatabank": (
        (
            r"(?m)^(?:ATOM  |HETATM).{6} [A-Z]{2}(?:.{0,61} ?|.{61}  .*)$",
            "its atoms have no element (columns 77, 78), and a name such as CA may mean two; add them",
        ),
    ),
    "turbomole": (
        (r"(?im)^[ \t]*\$coord[ \t]+(?:angs|frac)", "its positions are not in Bohr (`{}`); give them as xyz"),
    ),
}
"""By ASE's name of the format: what is searched for, and what is said of it; `{}` is what was found."""
LOGICAL = re.compile(r"(?im)(?<=\s)\.?([tf])(?:rue|alse)?\.?(?=\s|$)")
SYMMETRY = re.compile(r"(?i)_(?:symmetry_equiv_pos_as_xyz|space_group_symop_operation_xyz)\b")
SPACE_GROUP = re.compile(
    r"(?im)^[ \t]*_(?:symmetry|space_group)"
    r"_(?:int_tables_number|it_number|space_group_name_\S+|name_\S+)\s+(\S.*)$"
)
SETTING = re.compile(r"(?im)^[ \t]*_symmetry_space_group_setting\s+[12]\b")
ALTERNATE = re.compile(r"(?m)^(?:ATOM  |HETATM).{10}([A-Z0-9])")
"""Letter of an atom's alternate location, in column 17 of a PDB."""


def refuse_by_text(text: str, kind: str) -> None:
    """Raise ValueError for what the reader of this format would pass over, and get the structure wrong."""
    for pattern, said in REFUSED.get(kind, ()):
        if found := re.search(pattern, text):
            raise ValueError(said.format(found[0].strip()[:80]))
    if kind == "proteindatabank" and len(set(ALTERNATE.findall(text))) > 1:
        raise ValueError("it has atoms at alternate locations; keep one of them")


def with_plain_flags(poscar: str) -> str:
    """The text with `T` and `F` for .TRUE., f and the like, which are flags to VASP as well."""
    if not re.search(r"(?im)^[ \t]*s", "\n".join(poscar.splitlines()[5:8])):
        return poscar
    head, rest = poscar.splitlines()[:6], poscar.splitlines()[6:]
    return "\n".join([*head, *(LOGICAL.sub(lambda flag: flag[1].upper(), line) for line in rest), ""])


def refuse_rows_beyond(poscar: str, n_atoms: int) -> None:
    """Raise ValueError where rows of positions go on after the last atom that is counted."""
    lines = poscar.splitlines()
    counts = next(
        (k for k, line in enumerate(lines[5:7], 5) if line.split()[:1] and line.split()[0].isdigit()), 6
    )
    selective = len(lines) > counts + 1 and lines[counts + 1].strip()[:1] in ("s", "S")
    after = lines[counts + 2 + selective + n_atoms :][:1]
    if after and _is_position(after[0]):
        raise ValueError(
            f"it counts {n_atoms} atoms, and goes on with {after[0].strip()[:40]!r}; correct the counts, or "
            "remove the rows"
        )


def _is_position(line: str) -> bool:
    try:
        return len([float(word) for word in line.split()[:3]]) == 3
    except ValueError:
        return False


def check_symmetry(cif: str, found: Sequence[Atoms]) -> None:
    """Tell, or refuse, where operations of symmetry are missing and the space group does not stand for them.

    Raises:
        ValueError: for a group that is described with two origins or axes (International Tables A), of
            which ASE takes the first.
    """
    if SYMMETRY.search(cif):
        return
    if not SPACE_GROUP.search(cif):
        message = "the CIF says nothing of symmetry: only the atoms that it lists are there"
        warnings.warn(message, StructureWarning, stacklevel=2)
        return
    for atoms in found:
        group = atoms.info.get("spacegroup")
        if group is None or SETTING.search(cif) or _has_axes_of_the_first(group.no, atoms):
            continue
        if _has_two_settings(group.no):
            raise ValueError(
                f"space group {group.no} is described in two settings, and no operations of symmetry tell "
                "which; add them (_space_group_symop_operation_xyz), or give all atoms in P 1"
            )


def _has_axes_of_the_first(number: int, atoms: Atoms) -> bool:
    """Monoclinic with the axis b, trigonal with hexagonal axes: there the cell tells the setting."""
    alpha, _, gamma = atoms.cell.angles()
    axes = {range(3, 16): (90, 90), range(143, 168): (90, 120)}
    return any(number in groups and np.allclose((alpha, gamma), of, atol=0.1) for groups, of in axes.items())


def _has_two_settings(number: int) -> bool:
    from ase.spacegroup.spacegroup import Spacegroup, SpacegroupNotFoundError  # which CIFs alone need

    try:
        Spacegroup(number, 2)
    except SpacegroupNotFoundError:
        return False
    return True
