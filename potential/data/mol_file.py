"""MOL and SDF files (V2000), every record, with their charges. Free of torch.

ASE reads the atoms of the first record only. Format: Dalby et al., J. Chem. Inf. Comput. Sci. 32, 244
(1992); a `M  CHG` or `M  RAD` line replaces all charges and radicals of the atom block.
"""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from potential.data.xyz_file import unknown_species

CHARGE_CODES = {0: 0, 1: 3, 2: 2, 3: 1, 4: 0, 5: -1, 6: -2, 7: -3}
DOUBLET = 4  # the atom block's code for a radical
UNPAIRED = {0: 0, 1: 0, 2: 1, 3: 2}  # of `M  RAD`: none, singlet, doublet, triplet


def read_structures(text: str, wanted: slice) -> list[Atoms]:
    """The records of a file; `info` has the name, the charge, and the data fields of SDF.

    Raises:
        ValueError: names the record and what is wrong with it.
    """
    records = [r for r in text.split("$$$$") if r.strip()]
    found = []
    for i in range(len(records))[wanted]:
        try:
            # what follows a separator is the rest of its line
            lines = records[i].splitlines()
            found.append(_parse(lines if i == 0 else lines[1:]))
        except KeyError as error:
            raise ValueError(f"structure {i}: {unknown_species(str(error.args[0]))}") from error
        except (ValueError, IndexError) as error:
            raise ValueError(f"structure {i}: {error}") from error
    return found


def _parse(lines: Sequence[str]) -> Atoms:
    if len(lines) < 4:
        raise ValueError(f"has {len(lines)} lines, expected a header of 3 and a line of counts")
    if "V3000" in lines[3]:
        raise ValueError("is V3000; convert it to V2000 or xyz (e.g. obabel in.sdf -O out.xyz)")
    n_atoms, n_bonds = int(lines[3][0:3]), int(lines[3][3:6] or 0)
    rows, properties = lines[4 : 4 + n_atoms], lines[4 + n_atoms + n_bonds :]
    if len(rows) < n_atoms or not any(line.startswith("M  END") for line in properties):
        raise ValueError(f"is cut off: {n_atoms} atoms, {n_bonds} bonds and `M  END` are not all there")
    positions = [[float(row[k : k + 10]) for k in (0, 10, 20)] for row in rows]
    symbols = [row[31:34].strip() for row in rows]
    codes = [int(row[36:39].strip() or 0) for row in rows]
    if isotopes := [line for line in properties if line.startswith("M  ISO")] or {"D", "T"} & {*symbols}:
        raise ValueError(
            f"has isotopes ({', '.join(sorted(isotopes))}); frames carry none, and energies and forces do "
            "not depend on them: remove `M  ISO` lines and write H for D and T"
        )
    if lines[1][20:22] == "2D" and n_atoms > 1 and not any(z for _, _, z in positions):
        raise ValueError(
            "is a drawing (2D); make positions in space first (e.g. obabel in.sdf -O out.sdf --gen3d)"
        )
    charges, unpaired = _pairs(properties, "CHG"), _pairs(properties, "RAD")
    if charges is None and unpaired is None:
        charges = {k: CHARGE_CODES[code] for k, code in enumerate(codes, start=1)}
        unpaired = {k: 2 for k, code in enumerate(codes, start=1) if code == DOUBLET}
    info: dict[str, object] = {"charge": sum((charges or {}).values()), **_data_fields(properties)}
    if unpaired:
        info["n_unpaired"] = sum(UNPAIRED[state] for state in unpaired.values())
    if name := lines[0].strip():
        info["name"] = name
    return Atoms(symbols, positions=positions, info=info)


def _pairs(properties: Sequence[str], kind: str) -> dict[int, int] | None:
    """Atom (from 1) to value, of all `M  CHG` or `M  RAD` lines; None without one."""
    lines = [line.split() for line in properties if line.startswith(f"M  {kind}")]
    if not lines:
        return None
    return {
        int(atom): int(value) for words in lines for atom, value in zip(words[3::2], words[4::2], strict=True)
    }


def _data_fields(properties: Sequence[str]) -> dict[str, str]:
    fields = {}
    for k, line in enumerate(properties[:-1]):
        if line.startswith(">") and "<" in line and ">" in line.partition("<")[2]:
            fields[line.partition("<")[2].partition(">")[0]] = properties[k + 1].strip()
    return fields
