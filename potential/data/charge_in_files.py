"""Charge and spin in the files of quantum chemistry programs, which ASE leaves out. Free of torch."""

from __future__ import annotations

import re

NUMBER = r"([+-]?\d+(?:\.\d*)?(?:[de][+-]?\d+)?)"
COUNT = r"(\d+(?:\.\d*)?(?:[de]0+)?)"
IN_DFT = r"(?ims)^\s*&DFT\b(?:(?!^\s*&END\s+DFT).)*?^\s*"  # CP2K's force fields have charges, too
CHARGE = {
    "abinit-in": rf"(?im)^\s*(?:cell)?charge\s+{NUMBER}\s*$",
    "castep-castep": rf"(?i)net charge of system\s*:\s*{NUMBER}",
    "cp2k-restart": rf"{IN_DFT}CHARGE\s+{NUMBER}",
    "espresso-in": rf"(?im)^[^!\n]*\btot_charge\s*=\s*{NUMBER}",
    "gamess-us-out": rf"(?i)CHARGE OF MOLECULE\s*=\s*{NUMBER}",
    "gaussian-out": rf"Charge\s*=\s*{NUMBER}\s+Multiplicity",
    "gpaw-out": rf"(?i)Total charge:\s*{NUMBER}",
    "nwchem-in": rf"(?im)^\s*charge\s+{NUMBER}\s*$",
    "nwchem-out": rf"(?im)^\s*charge\s*[:=]\s*{NUMBER}\s*$",
    "onetep-in": rf"(?im)^\s*charge\s*[:=]?\s*{NUMBER}\s*$",
    "orca-output": rf"Total Charge\s+Charge\s+\.+\s*{NUMBER}",
    "turbomole": rf"(?im)^\s*\$(?:chrg\s+|eht\b.*?\bcharge\s*=\s*){NUMBER}",
}
MULTIPLICITY = {
    "cp2k-restart": rf"{IN_DFT}(?:MULTIPLICITY|MULTIP)\s+{COUNT}",
    "gamess-us-out": rf"(?i)SPIN MULTIPLICITY\s*=\s*{COUNT}",
    "gaussian-out": rf"Multiplicity\s*=\s*{COUNT}",
    "nwchem-in": rf"(?im)^\s*mult\s+{COUNT}\s*$",
    "nwchem-out": rf"(?im)^\s*spin multiplicity\s*:\s*{COUNT}\s*$",
    "orca-output": rf"Multiplicity\s+Mult\s+\.+\s*{COUNT}",
}
UNPAIRED = {
    "espresso-in": rf"(?im)^[^!\n]*\btot_magnetization\s*=\s*{COUNT}",
    "nwchem-in": rf"(?im)^\s*nopen\s+{COUNT}\s*$",  # of its SCF
    "nwchem-out": rf"(?im)^\s*open shells\s*=\s*{COUNT}\s*$",
    "turbomole": rf"(?im)^\s*\$(?:spin\s+|eht\b.*?\bunpaired\s*=\s*){COUNT}",
}
SPIN_WORDS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet", "septet", "octet")
SPIN_WORD = re.compile(rf"(?im)^\s*({'|'.join(SPIN_WORDS)})(?=\s*(?:;|$))")
KINDS = frozenset(CHARGE)
"""ASE's names of the formats that are searched."""


def charge_and_spin(text: str, kind: str) -> dict[str, float]:
    """`charge`, `multiplicity` and `spin` (unpaired electrons), as far as a file's text says them.

    Args:
        text: the file's.
        kind: ASE's name of its format, one of `KINDS`.
    """
    patterns = {"charge": CHARGE, "multiplicity": MULTIPLICITY, "spin": UNPAIRED}
    said = {
        key: float(found[1].lower().replace("d", "e"))
        for key, of_kind in patterns.items()
        if kind in of_kind and (found := re.search(of_kind[kind], text))
    }
    if kind == "nwchem-in" and (word := SPIN_WORD.search(text)):
        said["spin"] = SPIN_WORDS.index(word[1].lower())
    return said
