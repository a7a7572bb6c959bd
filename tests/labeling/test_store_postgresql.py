"""The label store in PostgreSQL, in a server of its own, where Debian's `postgresql` is there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from labeling import database
from labeling.failure import LabelFailure
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from labeling.location import is_url
from labeling.store import LabelStore
from labeling.verify import verify
from potential.data.frame import Frame
from tests.support import postgresql

LEVEL = LennardJonesLevel()
needs_server = pytest.mark.skipif(not postgresql.can_run(), reason="needs postgresql and its packages")


def cluster(seed: int) -> Frame:
    positions = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Frame.of(
        [18] * 3, positions + np.random.default_rng(seed).normal(0, 0.1, (3, 3)), origin={"round": seed}
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgresql.postgresql("labels") as server:
        yield server.url("labels")


@pytest.fixture
def store(url: str) -> LabelStore:
    """An empty one."""
    change(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    return LabelStore(url)


def change(url: str, sql: str) -> None:
    import psycopg2

    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)


def test_urls_and_files_are_told_apart(tmp_path: Path) -> None:
    assert is_url("postgresql://me@host/labels")
    assert is_url("postgres://host/labels")
    assert not is_url(tmp_path / "labels.db")
    assert not is_url("postgresql.db")


def test_without_its_packages_postgresql_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install ase-db-backends psycopg2-binary"):
        LabelStore("postgresql://nobody@nowhere/labels")


@needs_server
def test_labels_and_failures_come_back(store: LabelStore, url: str) -> None:
    frame, failed = cluster(0), cluster(1)
    label = compute(frame, LEVEL)
    assert store.add(frame, label)
    assert not store.add(frame, label)
    store.add_failure(
        failed,
        LabelFailure(
            frame_id=failed.id,
            level_key=LEVEL.key,
            kind="rejected_by_check",
            message="no",
            label=compute(failed, LEVEL),
        ),
    )
    again = LabelStore(url)
    back = again.get(frame.id, LEVEL.key)
    assert back is not None
    assert back.energy == label.energy
    assert np.array_equal(back.forces, label.forces)
    assert back.provenance == label.provenance
    assert again.frames(LEVEL.key) == [frame]
    assert again.frames(LEVEL.key)[0].origin == frame.origin
    assert again.counts() == {"labelled": 1, "rejected_by_check": 1}
    again.release(failed.id, LEVEL.key)
    assert len(again.dataset([frame, failed], LEVEL.key)) == 2


@needs_server
def test_a_success_replaces_a_failure(store: LabelStore) -> None:
    frame = cluster(2)
    store.add_failure(
        frame, LabelFailure(frame_id=frame.id, level_key=LEVEL.key, kind="timeout", message="slow")
    )
    assert store.add(frame, compute(frame, LEVEL))
    assert store.failure(frame.id, LEVEL.key) is None
    assert store.counts() == {"labelled": 1}


@needs_server
def test_concurrent_writers_make_one_row_each(store: LabelStore, url: str) -> None:
    frames = [cluster(seed) for seed in range(6)] * 3
    with ThreadPoolExecutor(6) as threads:
        written = list(threads.map(lambda frame: LabelStore(url).add(frame, compute(frame, LEVEL)), frames))
    assert sum(written) == 6
    assert store.counts() == {"labelled": 6}


@needs_server
def test_the_commands_take_the_url(
    store: LabelStore, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.app import run_command

    frame, failed = cluster(0), cluster(1)
    store.add(frame, compute(frame, LEVEL))
    store.add_failure(
        failed, LabelFailure(frame_id=failed.id, level_key=LEVEL.key, kind="timeout", message="slow")
    )
    file = tmp_path / "labels.extxyz"
    for command, told in (
        (["labels", "stats", url], "labels      1, "),
        (["labels", "verify", url], "1 labels, all sound"),
        (["labels", "export", url, str(file)], "wrote 1 labels"),
        (["labels", "import", url, str(file)], "0 new labels"),
        (["quarantine", "list", url], f"{failed.id}  Ar3  timeout"),
        (["quarantine", "relabel", url, failed.id[:6]], "labelled anew"),
    ):
        assert run_command(command) == 0
        assert told in capsys.readouterr().out
    assert store.counts() == {"labelled": 1}


@needs_server
def test_label_writes_into_a_database(
    store: LabelStore, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ase.build import molecule

    from flows.cli.app import run_command
    from potential.data.structure_files import write_frames

    write_frames(tmp_path / "water.xyz", [Frame.from_atoms(molecule("H2O"))])
    command = ["label", str(tmp_path / "water.xyz"), "--store", url, "--workers", "1", "--grid-level", "1"]
    for before in (0, 1):
        assert run_command([*command, "--output", str(tmp_path / "out.extxyz")]) == 0
        assert f"{before} labelled before" in capsys.readouterr().out
    assert store.counts() == {"labelled": 1}


@needs_server
@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE systems SET energy = energy + 1", "digest"),
        ("UPDATE systems SET forces[1][1] = forces[1][1] + 0.1", "digest"),
        ("UPDATE systems SET positions[1][1] = positions[1][1] + 0.1", "altered"),
        ("UPDATE systems SET fmax = 0", "digest"),
        ("UPDATE systems SET data = jsonb_set(data, '{origin}', '{\"round\": 7}')", "digest"),
        ("UPDATE systems SET key_value_pairs = key_value_pairs || '{\"origin_round\": 7}'", "digest"),
        ("UPDATE systems SET unique_id = 'x'", "its columns say"),
        ("UPDATE text_key_values SET value = 'failed' WHERE key = 'status'", "searching finds"),
        ("DELETE FROM number_key_values", "searching finds"),
        ("DELETE FROM species", "species"),
        ("DROP TABLE keys CASCADE", "keys"),
    ],
)
def test_what_was_altered_is_found(store: LabelStore, url: str, sql: str, found: str) -> None:
    store.add(cluster(0), compute(cluster(0), LEVEL))
    assert verify(store).problems == ()
    change(url, sql)
    problems = verify(store).problems
    assert found in " ".join(problems), problems
