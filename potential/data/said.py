"""Total charge and spin, in the spellings that structure files use. Free of torch.

| said | spellings (any case, `_`, `-` and spaces ignored) | read as |
|---|---|---|
| charge | `charge`, `total_charge`, `net_charge`, `tot_charge`, ..., `q`, `chrg` | elementary charges |
| spin | `spin`, `unpaired_electrons`, `n_unpaired`, `uhf` | unpaired electrons, 2S |
| multiplicity | `multiplicity`, `spin_multiplicity`, `mult` | 2S + 1 |
| either | `total_spin` | whichever the number of electrons allows: 2S and 2S + 1 are never both possible |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CHARGE = re.compile(
    r"(total|tot|net|system|sys|mol|molecular|molecule|molecules|overall|formal|cell|frame|ion|ionic)?"
    r"charge(total|tot|net)?|q|qtot|qtotal|totalq|i?ch(a)?rg|chg"
)
SPIN = re.compile(r"spin|(n|num|number)?(of)?unpaired(electrons)?|uhf|twos|2s")
MULTIPLICITY = re.compile(r"(total)?(spin)?mult(iplicity)?")
EITHER = re.compile(r"(total|net)spin|spin(total|net)")

IN_TEXT = {
    "charge": re.compile(
        r"(?<![a-z_])(?:charge|chrg|q(?=\"?\s*[:=]))\"?\s*(?:is|of)?\s*[:=]?\s*([+-]?\d+|\d+[+-])(?![\w.])",
        re.I,
    ),
    "multiplicity": re.compile(r"(?<![a-z])mult(?:iplicity)?\"?\s*(?:is|of)?\s*[:=]?\s*(\d+)(?![\w.])", re.I),
}
TWO_INTEGERS = re.compile(r"\s*([+-]?\d+)(?:\s+|\s*,\s*)(\d+)\s*")
MOST = 20  # beyond this charge or multiplicity, two integers in a comment are something else


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a structure says.

    Attributes:
        charge: elementary charges, None where it says nothing.
        spin: unpaired electrons, None where it says nothing.
        keys: the keys that said so.
        notes: what was understood or left alone and should be told.
    """

    charge: int | None
    spin: int | None
    keys: frozenset[str]
    notes: tuple[str, ...]


def said_of(
    info: Mapping[str, Any],
    numbers: np.ndarray,
    *,
    comment: str = "",
    charge: int | None = None,
    spin: int | None = None,
) -> Said:
    """Charge and spin as the key-value pairs of a structure, or else its comment line, say them.

    Args:
        info: key-value pairs.
        numbers: atomic numbers, for what only the number of electrons decides.
        comment: text to search where no key says anything.
        charge: given by the user; then the file's does not count.
        spin: given by the user; then the file's does not count.

    Raises:
        ValueError: for a charge or spin that is no integer, or two that contradict each other.
    """
    _refuse_lists(info, len(numbers), charge=charge is None, spin=spin is None)
    stated = {key: value for key, value in info.items() if value is not None and np.ndim(value) == 0}
    charges = {key: value for key, value in stated.items() if CHARGE.fullmatch(_bare(key))}
    # spin=T says that a calculation was spin-polarized
    stated = {key: value for key, value in stated.items() if not isinstance(value, bool | np.bool_)}
    spins = {key: value for key, value in stated.items() if _is_spin(key)}
    keys = frozenset({*charges, *spins})
    notes: list[str] = []
    if not keys and comment:
        charges, spins, notes = _in_comment(comment, numbers)
    else:
        notes += [
            f"{key}={value} is not read as the total charge; write charge={value} if it is"
            for key, value in stated.items()
            if "charge" in key.lower() and key not in charges and isinstance(value, int | float | np.number)
        ]
    if charge is None:
        charge = _agreed("charge", {key: _integer(key, value) for key, value in charges.items()})
    if spin is None:
        electrons = int(numbers.sum()) - (charge or 0)
        unpaired = {key: _unpaired(key, _integer(key, value), electrons) for key, value in spins.items()}
        spin = _agreed("spin", unpaired)
    return Said(charge=charge, spin=spin, keys=keys, notes=tuple(notes))


def _refuse_lists(info: Mapping[str, Any], n_atoms: int, *, charge: bool, spin: bool) -> None:
    """A list is no charge of the whole; one number for each atom is something else, and left alone."""
    for key, value in info.items():
        asked = (charge and CHARGE.fullmatch(_bare(key))) or (spin and _is_spin(key))
        if asked and np.ndim(value) > 0 and np.size(value) != n_atoms:
            raise ValueError(
                f"{key} is {np.ravel(value).tolist()[:6]}, expected one integer for the whole structure; "
                f"give it explicitly, e.g. {key}=0"
            )


def _in_comment(comment: str, numbers: np.ndarray) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    found = {name: [_integer(name, v) for v in text.findall(comment)] for name, text in IN_TEXT.items()}
    charges = {"charge" + " again" * i: value for i, value in enumerate(found["charge"])}
    spins = {"multiplicity": found["multiplicity"][0]} if found["multiplicity"] else {}
    if pair := TWO_INTEGERS.fullmatch(comment):
        charge, multiplicity = int(pair[1]), int(pair[2])
        fits = (int(numbers.sum()) - charge - multiplicity) % 2 == 1
        if abs(charge) <= MOST and 1 <= multiplicity <= MOST and fits:
            charges, spins = {"charge": charge}, {"multiplicity": multiplicity}
    if not any(charges.values()) and not any(spin > 2 for spin in spins.values()):
        return charges, spins, []
    read = ", ".join(f"{what} {value}" for what, value in (*list(charges.items())[:1], *spins.items()))
    return charges, spins, [f"read {read} from the comment {comment.strip()!r}"]


def _bare(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def _is_spin(key: str) -> bool:
    return any(kind.fullmatch(_bare(key)) for kind in (SPIN, MULTIPLICITY, EITHER))


def _unpaired(key: str, value: int, electrons: int) -> int:
    if MULTIPLICITY.fullmatch(_bare(key)):
        return value - 1
    odd_one_out = (electrons - value) % 2 == 1
    if EITHER.fullmatch(_bare(key)):
        return value - 1 if odd_one_out else value
    if odd_one_out and value > 0:
        raise ValueError(
            f"{key} is {value}, which {electrons} electrons cannot have: spin is the number of unpaired "
            f"electrons 2S; if the file means 2S + 1, call it multiplicity={value}, or give spin: {value - 1}"
        )
    return value


def _agreed(what: str, said: Mapping[str, int]) -> int | None:
    if len(set(said.values())) > 1:
        raise ValueError(
            f"the file contradicts itself about the {what}: "
            f"{', '.join(f'{key} says {value:+d}' for key, value in said.items())}; "
            f"correct it, or give {what} explicitly"
        )
    return next(iter(said.values()), None)


def _integer(name: str, value: Any) -> int:
    text = str(value).strip()
    if re.fullmatch(r"\d+[+-]", text):  # 2-, as chemists write it
        text = text[-1] + text[:-1]
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not (np.isfinite(number) and abs(number - np.rint(number)) <= 1e-3):
        raise ValueError(f"{name} is {value}, expected an integer; give it explicitly, e.g. {name}=0")
    return round(number)
