"""Charge and spin in the files of quantum chemistry programs, which ASE leaves out. Free of torch."""

from __future__ import annotations

import re

from potential.data import valence_electrons

NUMBER = r"([+-]?\d+(?:\.\d*)?(?:[de][+-]?\d+)?)"
COUNT = r"(\d+(?:\.\d*)?(?:[de]0+)?)"
IN_DFT = r"(?ims)^\s*&DFT\b(?:(?!^\s*&END\s+DFT).)*?^\s*"  # CP2K's force fields have charges, too
ONETEP = r"(?im)^\s*{}(?:\s*[:=]\s*|\s+){}\s*(?:[!#].*)?$"
CHARGE = {
    "abinit-in": rf"(?im)^[^#!\n]*(?<!\w)(?:cell)?charge\s+{NUMBER}(?![\w.*])",  # many words a line
    "aims-output": rf"(?i)Charged system requested:\s*Charge\s*=\s*{NUMBER}",
    "castep-castep": rf"(?i)net\s+charge\s+of\s+system\s*:\s*{NUMBER}",
    "cjson": rf'"totalCharge"\s*:\s*{NUMBER}',
    "cp2k-restart": rf"{IN_DFT}CHARGE\s+{NUMBER}",
    "dftb": rf"(?im)^\s*Charge\s*=\s*{NUMBER}",
    "espresso-in": rf"(?im)^[^!\n]*\btot_charge\s*=\s*{NUMBER}",
    "gamess-us-out": rf"(?i)CHARGE OF MOLECULE\s*=\s*{NUMBER}",
    "gaussian-out": rf"Charge\s*=\s*{NUMBER}\s+Multiplicity",
    "gpaw-out": rf"(?i)Total charge:\s*{NUMBER}",
    "nwchem-in": rf"(?im)^\s*charge\s+{NUMBER}\s*$",
    "nwchem-out": rf"(?im)^\s*charge\s*[:=]\s*{NUMBER}\s*$",
    "octopus-in": rf"(?im)^\s*ExcessCharge\s*=\s*{NUMBER}",
    "onetep-in": ONETEP.format("charge", NUMBER),
    "onetep-out": ONETEP.format("charge", NUMBER),  # the input is repeated there
    "orca-output": rf"Total Charge\s+Charge\s+\.+\s*{NUMBER}",
    "qbox": rf"set\s+net_charge\s+{NUMBER}",
    "turbomole": rf"(?im)^\s*\$(?:chrg\s+|eht\b.*?\bcharge\s*=\s*){NUMBER}",
}
MULTIPLICITY = {
    "cjson": rf'"(?:totalSpinM|spinM|m)ultiplicity"\s*:\s*{COUNT}',
    "cp2k-restart": rf"{IN_DFT}(?:MULTIPLICITY|MULTIP)\s+{COUNT}",
    "gamess-us-out": rf"(?i)(?:SPIN|STATE) MULTIPLICITY\s*=\s*{COUNT}",
    "gaussian-out": rf"Multiplicity\s*=\s*{COUNT}",
    "nwchem-in": rf"(?im)^\s*mult\s+{COUNT}\s*$",
    "nwchem-out": rf"(?im)^\s*spin multiplicity\s*:\s*{COUNT}\s*$",
    "orca-output": rf"Multiplicity\s+Mult\s+\.+\s*{COUNT}",
}
UNPAIRED = {
    "abinit-in": rf"(?im)^[^#!\n]*(?<!\w)spinmagntarget\s+{COUNT}(?![\w.*])",
    "dftb": rf"(?im)^\s*UnpairedElectrons\s*=\s*{COUNT}",
    "espresso-in": rf"(?im)^[^!\n]*\btot_magnetization\s*=\s*{COUNT}",
    "nwchem-in": rf"(?im)^\s*nopen\s+{COUNT}\s*$",  # of its SCF
    "nwchem-out": rf"(?im)^\s*open shells\s*=\s*{COUNT}\s*$",
    "onetep-in": ONETEP.format("spin", COUNT),
    "onetep-out": ONETEP.format("spin", COUNT),
    "turbomole": rf"(?im)^\s*\$(?:spin\s+|eht\b.*?\bunpaired\s*=\s*){COUNT}",
    "vasp-out": rf"NUPDOWN\s*=\s*{COUNT}",  # -1: not fixed
    "vasp-xml": rf'<i name="NUPDOWN">\s*{COUNT}\s*</i>',
}
SPIN_WORDS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet", "septet", "octet")
SPIN_WORD = re.compile(rf"(?im)^\s*({'|'.join(SPIN_WORDS)})(?=\s*(?:;|$))")
KINDS = frozenset({*CHARGE, *valence_electrons.KINDS})
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
    if kind in valence_electrons.KINDS and (charge := valence_electrons.charge_by_electrons(text, kind)):
        said["charge"] = charge
    if kind == "nwchem-in" and (word := SPIN_WORD.search(text)):
        said["spin"] = SPIN_WORDS.index(word[1].lower())
    return said
