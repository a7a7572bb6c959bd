"""The JSON of a row says what Python's own reader finds, and is checked without being spelled again."""

import json
import math
import sqlite3

import pytest

from labeling.attempt import attempt
from labeling.level import LennardJonesLevel
from labeling.rows import Row
from labeling.store import LabelStore
from labeling.stored_json import parsed_object
from labeling.verify import verify
from potential.data.dataset import Label
from potential.data.frame import Frame


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": [0.1, -0.0, 1e-09, 5e-324, 1e+20, true, null], "c": {"d": "\\u00e9"}}',
        '{"seed": 340282366920938463463374607431768211456, "x": -9223372036854775809, "y": 1.0}',
        '{"energy": NaN, "bound": -Infinity}',
        '{"huge": 1e400}',
        '{"half of a letter": "\\ud800"}',
        '{"twice": 1, "twice": 2}',
    ],
)
def test_a_row_says_what_pythons_own_reader_finds(text: str) -> None:
    read = parsed_object(text, text.encode())
    assert repr(read) == repr(json.loads(text))
    assert repr(parsed_object(text.encode(), text.encode())) == repr(read)


def test_what_is_no_object_is_told() -> None:
    with pytest.raises(ValueError, match="expected an object in JSON, found list"):
        parsed_object("[1]", b"[1]")


def labelled(store: LabelStore, provenance: dict[str, object]) -> Row:
    frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.9]], origin={"source": "by hand", "b": 1, "a": 2})
    level = LennardJonesLevel()
    made = attempt(frame, level)
    assert isinstance(made, Label)
    said = {**made.provenance, **provenance}
    label = Label(
        frame_id=frame.id, level_key=level.key, energy=made.energy, forces=made.forces, provenance=said
    )
    store.add(frame, label)
    (row,) = store.rows()
    return row


def test_a_row_is_stored_as_its_digest_spells_it(tmp_path) -> None:
    store = LabelStore(tmp_path / "labels.db")
    row = labelled(store, {"scf_cycles": {4: 3, 10: 2}, "note": "é", "b": {"z": 1e-7, "a": None}})
    digest, rest = row.data["digest"], row.data_as_stored.partition(b",")[2]
    assert row.data_as_stored.startswith(b'{"digest":"2-')
    assert row._digest(b"{" + rest) == row._digest(row.data) == digest
    assert row.is_as_written
    assert not verify(store).problems


def test_a_number_that_a_database_spells_otherwise_is_no_alteration(tmp_path) -> None:
    store = LabelStore(tmp_path / "labels.db")
    row = labelled(store, {"large": 1e20, "none": -0.0})
    assert math.copysign(1, row.data["provenance"]["none"]) == -1
    assert row._digest(b"{" + row.data_as_stored.partition(b",")[2]) != row.data["digest"]
    assert row.is_as_written
    assert not verify(store).problems


def test_an_older_order_of_the_same_data_is_as_written_and_an_altered_one_is_not(tmp_path) -> None:
    store = LabelStore(tmp_path / "labels.db")
    data = labelled(store, {"seconds": 3.5}).data
    with sqlite3.connect(tmp_path / "labels.db") as connection:
        for told, sound in ((dict(reversed(data.items())), True), ({**data, "origin": {"a": 3}}, False)):
            text = (8).to_bytes(8, "little") + json.dumps(told).encode()
            connection.execute("UPDATE systems SET data = ?", (text,))
            connection.commit()
            (row,) = store.rows()
            assert row.is_as_written is sound
            assert bool(verify(store).problems) is not sound
