"""`verify` finds what was altered or damaged, and never raises."""

import dataclasses
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import ase.db
import numpy as np
import pytest

from labeling.attempt import attempt
from labeling.damaged_row import DamagedRowError
from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.dataset import Label
from potential.data.frame import Frame

LEVEL = LennardJonesLevel()


def argon(distance: float) -> Frame:
    return Frame.of([18, 18], [[0, 0, 0], [0, 0, distance]], origin={"round": 1, "note": "here"})


def fill(store: LabelStore, n: int = 4) -> LabelStore:
    for i in range(n):
        frame = argon(3.6 + 0.1 * i)
        label = attempt(frame, LEVEL)
        assert isinstance(label, Label)
        store.add(frame, label)
    frame = argon(9.0)
    store.add_failure(
        frame,
        LabelFailure(
            frame_id=frame.id,
            level_key=LEVEL.key,
            kind="rejected_by_check",
            message="no",
            label=compute(frame, LEVEL),
        ),
    )
    return store


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return fill(LabelStore(tmp_path / "labels.db"))


def without_digests(store: LabelStore) -> None:
    """As a version before digests wrote it."""
    database = ase.db.connect(store.path)
    for row in list(database.select()):
        data = {key: value for key, value in row.data.items() if key != "digest"}
        with closing(sqlite3.connect(store.path)) as connection, connection:
            encoded = database.encode(data, binary=True)
            connection.execute("UPDATE systems SET data = ? WHERE id = ?", (encoded, row.id))


def change(store: LabelStore, sql: str) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        assert connection.execute(sql).rowcount > 0


def test_a_sound_store_has_no_problems(store: LabelStore) -> None:
    found = verify(store)
    assert (found.problems, found.labels, found.failures, found.without_digest) == ((), 4, 1, 0)


SILENT = {
    "energy": "UPDATE systems SET energy = energy + 1e-9 WHERE id = 2",
    "forces": f"UPDATE systems SET forces = x'{np.zeros((2, 3)).tobytes().hex()}' WHERE id = 2",
    "stress": f"UPDATE systems SET stress = x'{np.ones(6).tobytes().hex()}' WHERE id = 2",
    "provenance": "UPDATE systems SET data = CAST(replace(CAST(data AS TEXT), 'seconds', 'second5') AS BLOB) "
    "WHERE id = 2",
    "origin": "UPDATE systems SET data = CAST(replace(CAST(data AS TEXT), '\"here\"', '\"else\"') AS BLOB) "
    "WHERE id = 2",
    "status": "UPDATE systems SET key_value_pairs = replace(key_value_pairs, '\"labelled\"', '\"failed\"') "
    "WHERE id = 2",
    "failure's numbers": "UPDATE systems SET energy = 1 WHERE id = 5",
    "kind of failure": "UPDATE systems SET key_value_pairs = "
    "replace(key_value_pairs, 'rejected_by_check', 'timeout') WHERE id = 5",
    "released without a word": "UPDATE systems SET key_value_pairs = "
    "replace(key_value_pairs, '\"failed\"', '\"labelled\"') WHERE id = 5",
    "what is searched": "UPDATE text_key_values SET value = 'failed' WHERE key = 'status' AND id = 2",
    "positions": "UPDATE systems SET positions = zeroblob(48) WHERE id = 2",
    "charge": "UPDATE systems SET key_value_pairs = "
    "replace(key_value_pairs, '\"total_charge\": 0', '\"total_charge\": 1') WHERE id = 2",
    "level": f"UPDATE systems SET unique_id = replace(unique_id, '{LEVEL.key}', '0123456789ab') WHERE id = 2",
    "a column of the origin": "UPDATE systems SET key_value_pairs = "
    "replace(key_value_pairs, 'origin_', 'origin_x') WHERE id = 2",
    "when it was made": "UPDATE systems SET ctime = ctime + 1 WHERE id = 2",
    "the largest force": "UPDATE systems SET fmax = 0 WHERE id = 2",
    "the number of atoms": "UPDATE systems SET natoms = 1 WHERE id = 2",
    "the calculator": "UPDATE systems SET calculator = 'vasp' WHERE id = 2",
    "atoms that are fixed": "UPDATE systems SET constraints = "
    """'[{"name": "FixAtoms", "kwargs": {"indices": [0]}}]' WHERE id = 2""",
    "magnetic moments": "UPDATE systems SET magmom = 1 WHERE id = 2",
    "masses": "UPDATE systems SET masses = zeroblob(16) WHERE id = 2",
    "elements that are searched": "UPDATE species SET n = n + 1 WHERE id = 2",
    "no elements to search": "DELETE FROM species WHERE id = 2",
    "a number that is searched": "UPDATE number_key_values SET value = value + 1 "
    "WHERE key = 'spin' AND id = 2",
    "keys that are searched": "DELETE FROM keys WHERE id = 2",
    "a digest itself": 'UPDATE systems SET data = CAST(replace(CAST(data AS TEXT), \'"digest":"2-\', '
    '\'"digest":"2-0\') AS BLOB) WHERE id = 2',
}


@pytest.mark.parametrize("what", SILENT)
def test_whatever_is_altered_is_found_with_its_row(store: LabelStore, what: str) -> None:
    change(store, SILENT[what])
    problems = verify(store).problems
    assert problems
    row = 5 if "5" in SILENT[what][-6:] else 2
    assert all(problem.startswith(f"row {row}: ") for problem in problems)


PUSH = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
TWIST = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
PULL = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])


@pytest.mark.parametrize(
    ("forces", "said", "fault"),
    [
        (0.002 * PUSH, {}, ""),  # near the limit, and looked at closely
        (0.003 * PUSH, {}, "net_force_eV_per_angstrom 0.006 is above 0.005"),
        (0.04 * TWIST, {}, ""),
        (0.1 * TWIST, {}, "net_torque_eV 0.36 is above 0.3"),
        (99 * PULL, {}, ""),
        (101 * PULL, {}, "max_force_eV_per_angstrom 101 is above 100"),
        (np.nan * PULL, {}, "not finite"),
        (PULL, {"gap_eV": 5.0, "spin_square": 0.1, "spin_stability_eV": 0.1}, ""),
        (PULL, {"gap_eV": -0.1}, "gap_eV -0.1 is not positive"),
        (PULL, {"spin_square": 0.4}, "spin_contamination 0.4 is above 0.3"),
        (PULL, {"spin_stability_eV": -0.1}, "spin_stability_eV -0.1 is below"),
    ],
)
def test_a_label_that_would_be_rejected_is_found_among_others(
    store: LabelStore, forces: np.ndarray, said: dict[str, float], fault: str
) -> None:
    frame = argon(3.6 - 1e-3)
    provenance = {**compute(frame, LEVEL).provenance, **said}
    label = Label(
        frame_id=frame.id, level_key=LEVEL.key, energy=-1.0, forces=forces + 0.0, provenance=provenance
    )
    store.add(frame, label)
    found = [problem.startswith("row 6: ") and fault in problem for problem in verify(store).problems]
    assert found == [True] * bool(fault)


def test_a_row_changed_to_failed_through_ase_is_found(store: LabelStore) -> None:
    ase.db.connect(store.path).update(2, status="failed")
    assert "row 2" in verify(store).problems[0]


def test_an_old_store_works_says_what_it_lacks_and_is_upgraded(store: LabelStore) -> None:
    labels, failures = list(store), store.failures()
    without_digests(store)
    old = LabelStore(store.path)
    found = verify(old)
    assert (found.problems, found.without_digest) == ((), 5)
    assert [i.label.provenance for i in old] == [i.label.provenance for i in labels]
    frame = argon(4.4)
    old.add(frame, compute(frame, LEVEL))
    assert verify(old).without_digest == 5
    assert old.add_digests() == 5
    assert old.add_digests() == 0
    assert verify(old).without_digest == 0
    assert verify(old).problems == ()
    assert [frame.id for frame, _ in old.failures()] == [frame.id for frame, _ in failures]
    change(old, SILENT["energy"])
    assert "were altered" in verify(old).problems[0]


def test_a_row_of_an_old_store_that_was_changed_to_failed_is_found(store: LabelStore) -> None:
    without_digests(store)
    ase.db.connect(store.path).update(2, status="failed")
    assert "row 2" in verify(store).problems[0]


def test_an_empty_store_has_neither_problems_nor_labels(tmp_path: Path) -> None:
    found = verify(LabelStore(tmp_path / "labels.db"))
    assert (found.problems, found.labels, found.failures) == ((), 0, 0)


def test_numbers_that_databases_spell_differently_have_one_digest(tmp_path: Path) -> None:
    store, frame = LabelStore(tmp_path / "labels.db"), argon(3.6)
    label = attempt(frame, LEVEL)
    assert isinstance(label, Label)
    odd = {"large": 1e20, "zero": -0.0, "one": 1.0, "tiny": 5e-324, "nan": float("nan"), "text": "é\n\"'"}
    store.add(
        frame, dataclasses.replace(label, provenance={**label.provenance, **odd, "keys": {2: 1, 10: 2}})
    )
    assert verify(store).problems == ()


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


def zeroed(page: int) -> Callable[[bytes], bytes]:
    return lambda content: content[: 4096 * page] + bytes(4096) + content[4096 * (page + 1) :]


def noise(page: int) -> Callable[[bytes], bytes]:
    random = np.random.default_rng(page).bytes(4096)
    return lambda content: content[: 4096 * page] + random + content[4096 * (page + 1) :]


DAMAGES = {
    **{f"cut to {share}": cut(share) for share in (0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)},
    **{f"page {page} zeroed": zeroed(page) for page in (0, 1, 2, 3)},
    **{f"page {page} noise": noise(page) for page in (0, 1, 2, 3)},
    "header": lambda content: b"garbage!" * 2 + content[16:],
    "text": lambda content: b"not a database at all\n" * 300,
    "schema": lambda content: content.replace(b"CREATE TABLE systems", b"CREATE TABLE sistems", 1),
    "column": lambda content: content.replace(b"key_value_pairs TEXT", b"key_value_pairz TEXT", 1),
    "json": lambda content: content.replace(b'"frame_id": "frame-', b'"frame_id": {frame-'),
    "letters": lambda content: content.replace(b'{"frame_id"', b'\xff\xfe\xfdrame_id"'),
    "data": lambda content: content.replace(b'{"digest"', b'["digest"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_a_finding(
    store: LabelStore, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.app import run_command

    path = Path(store.path)
    store.close()
    content = path.read_bytes()
    path.write_bytes(DAMAGES[damage](content))
    assert path.read_bytes() != content
    code = run_command(["labels", "verify", str(path)])
    told = capsys.readouterr()
    assert code in (1, 2), told.out
    assert "Traceback" not in told.err
    assert "does not know" not in told.err
    assert 1 <= len(told.err.splitlines()) <= 15


def test_tables_of_another_program_are_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.app import run_command

    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    before = path.read_bytes()
    for command in (["labels", "verify"], ["labels", "stats"], ["quarantine", "list"]):
        assert run_command([*command, str(path)]) == 2
        assert "no label store (it has runs)" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("sql", ["DROP TABLE species", "DROP TABLE information", "DELETE FROM information"])
def test_a_table_that_is_missing_is_found(store: LabelStore, sql: str) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(sql)
    assert verify(store).problems


def test_a_trigger_is_found(store: LabelStore) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON systems BEGIN DELETE FROM systems; END")
    assert "has a trigger 't'" in verify(store).problems[0]


@pytest.mark.parametrize("number", [2, 5])
def test_rows_that_were_deleted_are_counted(store: LabelStore, number: int) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        for table in ("species", "keys", "text_key_values", "number_key_values", "systems"):
            connection.execute(f"DELETE FROM {table} WHERE id = {number}")
    assert (verify(store).problems, verify(store).deleted) == ((), 1)


def test_a_digest_of_version_1_holds(store: LabelStore) -> None:
    row = next(store.rows())
    old = dataclasses.replace(row, data={**row.data, "digest": "1-"}).digest
    assert old.startswith("1-")
    encoded = store.place.connect().encode({**row.data, "digest": old}, binary=True)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE systems SET data = ? WHERE id = ?", (encoded, row.id))
    assert verify(store).problems == ()
    change(store, f"UPDATE systems SET energy = energy + 1e-9 WHERE id = {row.id}")
    assert "were altered" in verify(store).problems[0]


def test_nothing_is_learned_from_values_that_were_altered(store: LabelStore) -> None:
    ids = [item.frame.id for item in store]
    change(store, "UPDATE systems SET energy = energy + 0.01 WHERE id = 2")
    assert len(store.dataset([ids[0], *ids[2:]], LEVEL.key)) == len(ids) - 1
    with pytest.raises(DamagedRowError, match="row 2 of the label store is damaged: its values were altered"):
        store.dataset(ids, LEVEL.key)


@pytest.mark.parametrize("sql", ["energy = NULL", "energy = 'abc'", "key_value_pairs = '{}'", "data = x'00'"])
def test_who_reads_a_damaged_row_says_which(store: LabelStore, sql: str) -> None:
    change(store, f"UPDATE systems SET {sql} WHERE id = 2")
    with pytest.raises(DamagedRowError, match=r"row 2 of the label store is damaged"):
        [(row.status, row.label) for row in store.rows() if row.id == 2]
    assert verify(store).problems
