"""The border between the program and its user: what goes wrong is said shortly, with a remedy."""

import os
import resource
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.cli import border
from flows.cli.app import run_command
from flows.settings.yaml_file import load_config
from labeling.location import without_passwords
from tests.support.commands import exit_codes

VALID = """\
name: water
structure: {molecule: H2O}
initial: {source: {method: displacement}}
test: {source: {method: displacement}}
level: {labeler: lennard_jones}
"""
Said = pytest.CaptureFixture[str]


def bomb(depth: int, width: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(lines) + "\n"


def merge_bomb() -> str:
    lines = ["a0: &a0 {seed: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 30)}]}}" for i in range(1, 8)]
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: caf\xe9\n", "line 1: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (VALID.encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        (b"name: \x07\n", "not YAML"),
        (b"seed: !!int abc\n", "a value that its YAML tag does not allow"),
        (b"seed: !!timestamp x\n", "a value that its YAML tag does not allow"),
        (b"seed: " + b"9" * 5000, "a value that its YAML tag does not allow"),
        (b"seed: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        (b"? [a]\n: 1\n", "not YAML"),
        (bomb(9, 9).encode(), "its aliases stand for more than 100000 values"),
        (merge_bomb().encode(), "its aliases stand for more than 100000 values"),
        (b"a: &a [*a]\n", "line 1: holds itself, by an alias"),
        (b"&r\nname: f\nstructure: *r\n", "holds itself, by an alias"),
        (b"seed: " + b"[" * 30 + b"]" * 30, "nested deeper than 20 levels"),
        (b"seed: " + b"[" * 100_000, "nested deeper than 20 levels"),
        (b"#" * 10_000_000, "larger than 256 kB"),
        (VALID.encode() + b"seed: [" + b"1," * 20_000 + b"]\n", "got 20000 values"),
        (VALID.encode() + b"k" * 900 + b": 1\n", "unknown key"),
        (b"".join(b"k%d: 1\n" % i for i in range(3000)) + VALID.encode(), " more"),
        (VALID.replace("H2O", "NO").encode(), "write it in quotes, like 'NO'"),
        (VALID.encode() + b"folder: ~no_such_user/x\n", "a path that cannot be"),
        (VALID.encode() + b'folder: "a\\0b"\n', "a path that cannot be"),
        (VALID.encode() + b'folder: "\\ud800"\n', "a path that cannot be"),
        (VALID.encode() + b"folder: " + b"n" * 5000 + b"\n", "a name of 5000 bytes; file systems take 255"),
        (VALID.encode() + b"labeling: {store: " + b"n" * 300 + b"}\n", "a name of 300 bytes"),
        (VALID.encode() + b"labeling: {store: ''}\n", "'' is no label store"),
        (VALID.encode() + b"labeling: {store: 'mysql://a:b@c/d'}\n", "'mysql://a@c/d' is no label store"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_whatever_the_yaml_file_holds(content: bytes, said: str, tmp_path: Path, capsys: Said):
    path = tmp_path / "campaign.yaml"
    path.write_bytes(content)
    assert run_command(["status", str(path)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert len(err.encode()) <= 2001
    assert sorted(tmp_path.iterdir()) == [path]


def test_an_alias_is_welcome_and_a_bom_is_ignored(tmp_path: Path):
    path = tmp_path / "campaign.yaml"
    text = VALID.replace("initial: {source", "initial: &set {source").replace(
        "test: {source: {method: displacement}}", "test: *set"
    )
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_config(path).test == load_config(path).initial


def test_what_is_no_file(tmp_path: Path, capsys: Said):
    os.mkfifo(tmp_path / "fifo")
    for name, said in {
        str(tmp_path / "fifo"): "is not a file",
        "/dev/zero": "is not a file",
        "n" * 5000: "a name is too long",
        "a\0b": "no file can have this name",
        "\udc80.yaml": "no such file",
    }.items():
        assert run_command(["status", name]) in (1, 2)
        err = capsys.readouterr().err
        assert said in err
        assert len(err) < 2000


def test_outputs_that_cannot_be_are_told_and_devices_left_alone(tmp_path: Path, capsys: Said):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, said in {
        "/proc/x.yaml": "there is no such file or folder (/proc/",
        f"{tmp_path}/file/x.yaml": "in the way",
        f"{tmp_path}/folder": f"something else is in the way ({tmp_path}/folder)",
        f"{tmp_path}/fifo": f"something else is in the way ({tmp_path}/fifo)",
    }.items():
        assert run_command(["init", "ethanol", "--force", "--file", name]) == 1
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert (tmp_path / "fifo").is_fifo()


def test_our_warnings_are_a_line_and_others_go_their_way(capsys: Said):
    from flows.cli.remarks import OURS, remarks_on_terminal

    said = RuntimeWarning("compiled anew")
    with remarks_on_terminal():
        for _ in range(2):
            warnings.showwarning(said, RuntimeWarning, f"{OURS[0]}x.py", 7)
    assert capsys.readouterr().err == "warning: compiled anew\n"
    with pytest.warns(RuntimeWarning, match="compiled anew"), remarks_on_terminal():
        warnings.showwarning(said, RuntimeWarning, "/elsewhere/x.py", 7)
    assert capsys.readouterr().err == ""


def test_values_on_the_command_line_are_told_with_their_names(capsys: Said):
    assert run_command(["init", "ethanol", "--spin", "-1"]) == 2
    assert "  spin: Input should be greater than or equal to 0, got -1\n" in capsys.readouterr().err


def test_paths_mean_the_same_wherever_the_command_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "campaign.yaml"
    path.write_text(VALID + "folder: ~/campaigns\nlabeling: {store: shared.db}\n")
    monkeypatch.chdir("/")
    config = load_config(path)
    assert config.folder == tmp_path / "home" / "campaigns"
    assert config.labeling.store == str(tmp_path / "shared.db")


def _raise(error: BaseException) -> Callable[..., Any]:
    def command(*_: object, **__: object) -> None:
        raise error

    return command


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign's folder with its configuration; temporary files stay in the test's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "campaigns" / "water"
    folder.mkdir(parents=True)
    (folder / "campaign.yaml").write_text(VALID)
    return folder


def test_an_unknown_error_is_one_line_and_a_log_without_passwords(
    campaign: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
):
    error = ZeroDivisionError("at postgresql://me:hunter2@host/db " + 5000 * "x")
    monkeypatch.setattr("flows.views.status.print_status", _raise(error))
    assert run_command(["status", str(campaign)]) == 1
    err = capsys.readouterr().err
    (log,) = campaign.glob("error-*.log")
    assert err.startswith(
        "stopped by an error that alnico does not know: ZeroDivisionError: at postgresql://me@host/db"
    )
    assert str(log) in err
    assert len(err) < 2000
    assert "Traceback" not in err
    text = log.read_text()
    assert "Traceback" in text
    assert "hunter2" not in text + err
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert run_command(["status", str(campaign), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("ALNICO_DEBUG", "1")
    assert run_command(["status", str(campaign)]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "weights"), "the disk is full (weights). Free some space"),
        (OSError(27, "File too large"), "`ulimit -f` tells the limit"),
        (PermissionError(13, "Permission denied", "/x"), "no permission (/x)"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (OSError(40, "Too many levels of symbolic links", "rounds"), "a link that leads to itself (rounds)"),
        (OSError(5, "Input/output error", "labels.db"), "the disk cannot be read or written (labels.db)"),
        (MemoryError(), "out of memory"),
        (ModuleNotFoundError("needs two more packages; `pip install a b`"), "`pip install a b`"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "pip install x"),
    ],
    ids=str,
)
def test_errors_of_the_surroundings(
    error: Exception, said: str, campaign: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
):
    monkeypatch.setattr("flows.views.status.print_status", _raise(error))
    assert run_command(["status", str(campaign)]) == 1
    assert said in capsys.readouterr().err
    assert not list(campaign.glob("error-*.log"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@ss/w?rd#x@h:5432/db?sslpassword=abc", "postgresql://u@h:5432/db?sslpassword="),
        ("redis://:pw@h and http://a:b@c/d", "redis://@h and http://a@c/d"),
        ("password='a b' host=h", "password= host=h"),
        ("PGPASSWORD=hunter2 alnico run", "PGPASSWORD= alnico run"),
        ("http://host:5000/#/runs/1, told by me@there", "http://host:5000/#/runs/1, told by me@there"),
    ],
)
def test_passwords_are_left_out_however_they_are_written(text: str, shown: str):
    assert without_passwords(text) == shown


def test_a_full_disk_is_told_by_sqlite_too():
    import sqlite3

    assert "the disk is full" in str(border.explanation(sqlite3.OperationalError("database or disk is full")))


def alnico(*tokens: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.app", *tokens], capture_output=True, text=True, check=False, **how
    )


def test_a_file_that_may_not_grow(tmp_path: Path):
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))}
    ended = alnico("init", "ethanol", cwd=tmp_path, **limited)
    assert ended.returncode == 1
    assert "`ulimit -f` tells the limit" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_a_utf8_locale(tmp_path: Path):
    plain = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    commands = [["init", "ethanol"], ["status", "campaign.yaml"], ["init", "--preset", "list"]]
    assert exit_codes(commands, cwd=tmp_path, env=plain)[0] == [0, 0, 0]
    assert "≥" in (tmp_path / "campaign.yaml").read_text(encoding="utf-8")


def test_a_password_in_a_store_url_is_used_and_not_shown(tmp_path: Path, capsys: Said):
    from flows.record.folder import CampaignFolder

    secret = "postgresql://me:hunter2@127.0.0.1:1/labels?password=hunter2"
    path = tmp_path / "campaign.yaml"
    path.write_text(VALID + f"labeling: {{store: '{secret}'}}\n")
    folder = CampaignFolder.open(path)
    assert folder.label_store == secret
    folder.write_config()
    kept = folder.config_file.read_text()
    shown = "postgresql://me@127.0.0.1:1/labels?password="
    assert shown in kept
    for text in (kept, repr(folder.config), str(folder.config.model_dump(mode="json"))):
        assert "hunter2" not in text
    assert load_config(folder.config_file).labeling.store == shown
    assert run_command(["status", str(folder.path)]) in (0, 1, 2)
    assert run_command(["labels", "stats", secret]) in (1, 2)
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err


def test_the_end_names_no_mlflow_that_is_not_there(tmp_path: Path):
    import sqlite3

    from flows.cli.dashboards import mlflow_problem

    store = tmp_path / "mlflow.db"
    assert "there is no" in str(mlflow_problem(f"sqlite:///{store}"))
    with sqlite3.connect(store) as database:
        database.execute("create table experiments (name text)")
    assert mlflow_problem(f"sqlite:///{store}") is None
    store.write_bytes(b"not a database" * 100)
    assert "is damaged" in str(mlflow_problem(f"sqlite:///{store}"))
    assert mlflow_problem("http://127.0.0.1:1") == "no answer from http://127.0.0.1:1"
