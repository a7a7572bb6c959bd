"""Total charge where a program says how many electrons there are, and not the charge. Free of torch.

VASP (OUTCAR, vasprun.xml) and Quantum ESPRESSO's output count the valence electrons of each species and of
the whole; the charge is what the atoms would have, less what there is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

NUMBER = r"(\d+(?:\.\d*)?(?:[eEdD][+-]?\d+)?)"


def charge_by_electrons(text: str, kind: str) -> float | None:
    """The charge in elementary charges; None where the file does not say enough.

    Args:
        text: the file's.
        kind: ASE's name of its format, one of `KINDS`.
    """
    found = KINDS[kind](text)
    if found is None:
        return None
    neutral, electrons = found
    return round(neutral - electrons, 6)


def _outcar(text: str) -> tuple[float, float] | None:
    total = re.search(rf"NELECT\s*=\s*{NUMBER}", text)
    counts = re.search(r"ions per type\s*=((?:\s+\d+)+)", text)
    valences = re.search(rf"Ionic Valenz\s+ZVAL\s*=((?:\s+{NUMBER})+)", text)
    if not (total and counts and valences):
        return None
    pairs = list(zip(counts[1].split(), valences[1].split(), strict=False))
    return sum(int(n) * float(valence) for n, valence in pairs), float(total[1])


def _vasprun(text: str) -> tuple[float, float] | None:
    total = re.search(rf'<i name="NELECT">\s*{NUMBER}\s*</i>', text)
    species = re.search(r'(?s)<array name="atomtypes"\s*>(.*?)</array>', text)
    if not (total and species):
        return None
    cells = [re.findall(r"<c>(.*?)</c>", row) for row in re.findall(r"(?s)<rc>(.*?)</rc>", species[1])]
    return sum(int(n) * float(valence) for n, _, _, valence, *_ in cells), float(total[1])


def _espresso(text: str) -> tuple[float, float] | None:
    total = re.search(rf"number of electrons\s*=\s*{NUMBER}", text)
    atoms = re.search(r"number of atoms/cell\s*=\s*(\d+)", text)
    table = re.search(rf"atomic species\s+valence\s+mass.*\n((?:\s*\S+\s+{NUMBER}\s+{NUMBER}.*\n)+)", text)
    if not (total and atoms and table):
        return None
    valences = {line.split()[0]: float(line.split()[1]) for line in table[1].splitlines() if line.strip()}
    sites = re.findall(r"(?m)^\s*\d+\s+(\S+)\s+tau\(", text)[: int(atoms[1])]
    counts = Counter(sites)
    if len(sites) != int(atoms[1]) or not counts.keys() <= valences.keys():
        return None
    return sum(n * valences[species] for species, n in counts.items()), float(total[1])


KINDS: dict[str, Callable[[str], tuple[float, float] | None]] = {
    "vasp-out": _outcar,
    "vasp-xml": _vasprun,
    "espresso-out": _espresso,
}
