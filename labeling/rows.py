"""What one row of the label store holds: a frame at a level of theory, with its label or its failure."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import ase.db
import numpy as np
from ase.constraints import FixAtoms
from ase.db.row import AtomsRow
from ase.io import jsonio

from labeling.damaged_row import DamagedRowError
from labeling.database import Database
from labeling.digest import VERSION, digest_of
from labeling.failure import LabelFailure
from labeling.stored_json import parsed_object, stored_text
from potential.data.dataset import Label, LabelledFrame
from potential.data.frame import Frame
from potential.data.stress import full_stress, voigt_stress

LABELLED, FAILED = "labelled", "failed"
DERIVED = ("ctime", "calculator", "free_energy", "natoms", "fmax", "smax", "volume", "mass", "charge")
"""What ase.db keeps of a row for searching, as numbers or text."""
COLUMNS = (
    "id, unique_id, numbers, positions, cell, pbc, constraints, energy, forces, stress, key_value_pairs, "
    f"data, {', '.join(DERIVED)}"
)
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""What ase.db takes for a key."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as it is in the database; arrays in ase.db's units and order, `stress` in Voigt's.

    Attributes:
        columns: ase.db's key-value pairs, by which rows are found.
        data: what is not searched: origin, provenance or failure, digest.
        data_as_stored: its JSON as it is in SQLite; empty in PostgreSQL, which has a spelling of its own.
        derived: `DERIVED`.
    """

    id: int
    identity: str
    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: int
    constraints: str | None
    energy: float | None
    forces: np.ndarray | None
    stress: np.ndarray | None
    columns: dict[str, Any]
    data: dict[str, Any]
    data_as_stored: bytes
    derived: dict[str, Any]

    @classmethod
    def read(cls, values: Sequence[Any], database: Database) -> Row:
        """From the values of `COLUMNS`.

        Raises:
            DamagedRowError: where they are damaged.
        """
        number, name, numbers, positions, cell, pbc, constraints, energy, forces, stress, columns, data = (
            values[: -len(DERIVED)]
        )
        with _readable(number):
            stored = stored_text(data)
            return cls(
                id=number,
                identity=name,
                numbers=database.deblob(numbers, np.int32),
                positions=database.deblob(positions, shape=(-1, 3)),
                cell=database.deblob(cell, shape=(3, 3)),
                pbc=pbc,
                constraints=constraints,
                energy=energy,
                forces=database.deblob(forces, shape=(-1, 3)),
                stress=database.deblob(stress),
                columns=parsed_object(columns, stored_text(columns)),
                data=parsed_object(data, stored),
                data_as_stored=stored,
                derived=dict(zip(DERIVED, values[-len(DERIVED) :], strict=True)),
            )

    @property
    def status(self) -> str:
        with _readable(self.id):
            return str(self.columns["status"])

    @property
    def outcome(self) -> str:
        """`labelled`, or the kind of the failure."""
        return str(self.columns.get("failure", self.status))

    @property
    def identity_by_columns(self) -> str:
        """The identity that the other columns spell; the row's own, unless it was altered."""
        frame_id, level_key = str(self.columns["frame_id"]), str(self.columns["level_key"])
        return identity(frame_id.removeprefix("frame-"), level_key.removeprefix("level-"))

    @property
    def digest(self) -> str:
        """What the digest must be; `data["digest"]` is what it was when the row was written."""
        return self._digest(self.data)

    @property
    def is_as_written(self) -> bool:
        """Whether its values have the digest that was written with them, or they have none."""
        told = self.data.get("digest")
        if told is None:
            return True
        # As `new_row` spells it, the digest is first and what follows is canonical: nothing to spell again.
        first, _, rest = self.data_as_stored.partition(b",")
        if first == b'{"digest":' + json.dumps(told).encode() and told == self._digest(b"{" + rest):
            return True
        return bool(told == self.digest)

    def _digest(self, data: Mapping[str, Any] | bytes) -> str:
        return digest_of(
            self.identity,
            " ".join(str(self.columns[key]) for key in ("status", "failure") if key in self.columns),
            energy=self.energy,
            forces=self.forces,
            stress=self.stress,
            data=data,
            beside=_beside(self.columns, _fixed(self.constraints), self.derived),
            version="1" if str(self.data.get("digest")).startswith("1-") else VERSION,
        )

    @property
    def frame(self) -> Frame:
        with _readable(self.id):
            return Frame.of(
                self.numbers,
                self.positions,
                self.cell,
                [bool(self.pbc & bit) for bit in (1, 2, 4)],
                charge=self.columns["total_charge"],
                spin=self.columns["spin"],
                origin=self.data["origin"],
                fixed=_fixed(self.constraints),
                info=json.loads(self.data["info"]) if "info" in self.data else None,
            )

    @property
    def label(self) -> Label:
        with _readable(self.id):
            frame_id, _, level_key = self.identity.partition("-")
            if self.energy is None or self.forces is None:
                raise ValueError("it has no energy or no forces")
            return Label(
                frame_id=frame_id,
                level_key=level_key,
                energy=float(self.energy),
                forces=self.forces.copy(),
                stress=None if self.stress is None else full_stress(self.stress),
                provenance=self.data["provenance"],
            )

    @property
    def labelled_frame(self) -> LabelledFrame:
        with _readable(self.id):
            if not self.is_as_written:  # what is learned is what was computed
                raise ValueError("its values were altered, their digest is not the one that was written")
            return LabelledFrame(frame=self.frame, label=self.label)

    @property
    def failure(self) -> LabelFailure:
        """The failure, with the numbers of the label that a check rejected, if it was one."""
        with _readable(self.id):
            return LabelFailure(**self.data["failure"], label=None if self.energy is None else self.label)


class _readable:  # noqa: N801  a context, entered for every row several times; a generator takes thrice as long
    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, DamagedRowError) or not isinstance(error, _DAMAGES):
            return
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise DamagedRowError(
            f"row {self.number} of the label store is damaged: {why[:200]}.\n`alnico labels verify` tells of "
            "every row; restore the store from a copy, or delete the row: `ase db FILE id=N --delete`"
        ) from error


_DAMAGES = (ValueError, TypeError, KeyError, AttributeError, struct.error)


def identity(frame_id: str, level_key: str) -> str:
    """What ase.db's UNIQUE column holds."""
    return f"{frame_id}-{level_key}"


NewRow: TypeAlias = tuple[Any, dict[str, Any], dict[str, Any]]
"""What ase.db's `write` takes: a row that is in no database yet, its key-value pairs, its data."""


def new_row(frame: Frame, outcome: Label | LabelFailure) -> NewRow:
    """A frame with its label, or with the reason why it has none.

    Of the origin the key-value pairs have what ase.db takes for one; `data` has all of it.

    Raises:
        ValueError: if the label or failure belongs to another frame.
    """
    if outcome.frame_id != frame.id:
        what = "label" if isinstance(outcome, Label) else "failure"
        raise ValueError(f"{what} belongs to frame {outcome.frame_id}, not to {frame.id}")
    label = outcome if isinstance(outcome, Label) else outcome.label
    data: dict[str, Any] = {"origin": frame.origin}
    if frame.info:
        data["info"] = json.dumps(frame.info)  # as text, which ase.db leaves alone
    stated = {"status": LABELLED}
    if isinstance(outcome, LabelFailure):
        stated = {"status": FAILED, "failure": outcome.kind}
        data["failure"] = {f.name: getattr(outcome, f.name) for f in fields(outcome) if f.name != "label"}
    if label is not None:
        data["provenance"] = label.provenance
    data = json.loads(json.dumps(json.loads(json.dumps(data)), sort_keys=True))
    row: Any = AtomsRow(_values(frame, label))
    row.unique_id = identity(frame.id, outcome.level_key)
    row.ctime, row.user = ase.db.core.now(), None
    columns = {
        # ase.db refuses text that reads as a number, and some hex digits do
        "frame_id": f"frame-{frame.id}",
        "level_key": f"level-{outcome.level_key}",
        "total_charge": frame.charge,
        "spin": frame.spin,
        **{f"origin_{key}": value for key, value in frame.origin.items() if _fits_a_column(key, value)},
        **stated,
    }
    numbers = {name: row.get(name) for name in ("energy", "forces", "stress")}
    beside = _beside(columns, list(frame.fixed), {name: row.get(name) for name in DERIVED})
    digest = digest_of(row.unique_id, " ".join(stated.values()), data=data, beside=beside, **numbers)
    return row, columns, {"digest": digest, **data}


def _beside(columns: Mapping[str, Any], fixed: Sequence[int], derived: Mapping[str, Any]) -> dict[str, Any]:
    """A database has no NaN where it has numbers."""
    told = {name: None if value != value else value for name, value in derived.items()}
    return {"columns": dict(columns), "fixed": list(fixed), **told}


def _values(frame: Frame, label: Label | None) -> dict[str, Any]:
    """What ase.db reads off `ase.Atoms` with a SinglePointCalculator; that takes as long as the writing."""
    values: dict[str, Any] = {
        "numbers": frame.numbers,
        "positions": frame.positions,
        "cell": frame.cell,
        "pbc": np.array(frame.pbc),
        "constraints": [FixAtoms(list(frame.fixed)).todict()] if frame.fixed else [],
    }
    if label is None:
        return values
    stress = {} if label.stress is None else {"stress": voigt_stress(label.stress)}
    results = {"energy": label.energy, "forces": label.forces, **stress}
    return {**values, "calculator": "unknown", "calculator_parameters": {}, **results}


def _fits_a_column(key: str, value: Any) -> bool:
    if not KEY.fullmatch(f"origin_{key}"):
        return False
    if isinstance(value, str):
        readable = value.isprintable() and not any(0xD800 <= ord(letter) < 0xE000 for letter in value)
        return readable and not any(ase.db.core.str_represents(value, kind) for kind in (bool, int, float))
    return isinstance(value, bool | int | float) and abs(value) < 2**63


def _fixed(constraints: str | None) -> list[int]:
    """The atoms of FixAtoms."""
    if not constraints:
        return []
    found = jsonio.decode(constraints)
    return [int(i) for each in found if each["name"] == "FixAtoms" for i in each["kwargs"]["indices"]]
