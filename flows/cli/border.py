"""Where errors end and become words: the border between the program and the person who runs it.

An error that we know is said in one to three lines, with what to do. Of any other the person sees one
line and the name of a file that holds the rest, for whoever mends it. Nothing is longer than 2 kB, and
no password is in either. With `--debug`, or ALNICO_DEBUG=1, the traceback is printed, too.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.errors import CampaignError, ConfigError, LabelsAwaitedError, ReviewAwaitedError
from labeling.damaged_row import DamagedRowError, NoLabelStoreError
from potential.data.notes import UnreadableStructureError
from potential.data.tables import DamagedTableError

DEBUG = "--debug"
FAILED, WRONG_USAGE, AWAITED, INTERRUPTED = 1, 2, 3, 130
LONGEST = 2000
PACKAGES = ("alnico", "torch", "ase", "pyscf", "prefect", "mlflow", "numpy")

DISK_FULL = "the disk is full{where}. Free some space; the same command goes on from there."
OS_ERRORS = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: "your share of the disk is used up{where}. Free some space; the same command goes on.",
    errno.EFBIG: "a file grew beyond what is allowed here{where}. `ulimit -f` tells the limit; raise it.",
    errno.EACCES: "no permission{where}. Change the owner or the mode, or use another folder.",
    errno.EPERM: "no permission{where}. Change the owner or the mode, or use another folder.",
    errno.EROFS: "the file system cannot be written{where}. Use another folder.",
    errno.EMFILE: "too many open files{where}. `ulimit -n` tells the limit; raise it.",
    errno.ENAMETOOLONG: "a name is too long{where}. File systems take 255 bytes.",
    errno.ENOMEM: "out of memory{where}. Use a machine with more, or a smaller model or batch.",
    errno.ENOENT: "there is no such file or folder{where}. Look at the path, and whether it was moved.",
    errno.EEXIST: "something else is in the way{where}. Move it, or use another name.",
    errno.ELOOP: "a link that leads to itself{where}. Put what it should lead to in its place.",
    errno.EIO: "the disk cannot be read or written{where}. Copy what is there to another one.",
    errno.ESTALE: "a network file system has lost a file{where}. The same command goes on from there.",
    errno.EBUSY: "is in use by another program{where}. Wait for it, then run the same command again.",
    errno.ENXIO: "is a pipe or device, not a file{where}.",
    errno.EISDIR: "a folder is in the place of a file{where}. Move it away; what can be made anew is.",
    errno.ENOTDIR: "a file is in the place of a folder{where}. Move it away; what can be made anew is.",
}
DATABASE_ERRORS = {  # what SQLite says -> what we say
    "readonly": "a database may not be written. Change its owner or mode, and that of its folder.",
    "is full": DISK_FULL.format(where=""),
    "disk I/O": "a database cannot be written: the disk is full, or a limit of `ulimit -f` is reached.",
    "locked": "a database is locked by another program. Wait for it, then run the same command again.",
    "unable to open": "a database cannot be opened. Look at the owner and mode of its folder.",
    "malformed": "a database is damaged. Restore it from a copy, or move it away and begin anew.",
    "no such": "a database lacks tables of a label store. Restore it from a copy, or move it away.",
    "not a database": "a file that should be a database is none. Restore it from a copy, or move it away.",
}


def end_with(error: Exception, tokens: Sequence[str], *, debug: bool = False) -> int:
    """Say what went wrong; returns the exit code.

    Args:
        tokens: the command line, to find the campaign whose folder takes the log file.
        debug: whether to print the traceback, too.
    """
    if debug or os.environ.get("ALNICO_DEBUG", "0") not in ("", "0"):
        print(_shareable("".join(traceback.format_exception(error))), file=sys.stderr)
    if isinstance(error, ConfigError):
        return _tell(str(error), WRONG_USAGE)
    if isinstance(error, ReviewAwaitedError | LabelsAwaitedError):
        return _tell(str(error), AWAITED)
    said = str(error) if isinstance(error, CampaignError) else explanation(error)
    if said is not None:
        return _tell(said, FAILED)
    log = _write_log(error, tokens)
    where = f"the details are in {log}" if log else f"`{DEBUG}` shows the details"
    first = (str(error).strip().splitlines() or [""])[0]
    what = f"{type(error).__name__}: {first[:300]}"
    return _tell(
        f"stopped by an error that alnico does not know: {what}\n{where}; report it with them.", FAILED
    )


def explanation(error: Exception) -> str | None:
    """What to say of an error of the surroundings (disk, permissions, packages, servers), if we know it."""
    match error:
        case MemoryError():
            return OS_ERRORS[errno.ENOMEM].format(where="")
        case UnreadableStructureError() | DamagedTableError() | DamagedRowError() | NoLabelStoreError():
            return str(error)
        case ModuleNotFoundError(name=None):  # ours, with advice
            return str(error)
        case ModuleNotFoundError():
            return f"the package {error.name} is not installed: pip install {error.name}"
        case OSError() if error.errno in OS_ERRORS:
            return OS_ERRORS[error.errno].format(where=_where(error))
        case sqlite3.Error():
            known = (words for sign, words in DATABASE_ERRORS.items() if sign in str(error))
            said, notes = next(known, None), getattr(error, "__notes__", [])  # which database
            return said.replace(".", f" ({notes[0]}).", 1) if said and notes else said
    match type(error).__module__.partition(".")[0], re.search(r"os error (\d+)", str(error)):
        case _, re.Match() as found if int(found[1]) in OS_ERRORS:  # safetensors', written in Rust
            return OS_ERRORS[int(found[1])].format(where="")
        case "psycopg2", _:
            return (
                f"the label store in PostgreSQL: {_first_line(error)}\n"
                "Look at labeling.store; the password comes from ~/.pgpass or PGPASSWORD."
            )
        case "httpx" | "httpcore", _:
            return f"Prefect's server no longer answers: {_first_line(error)}\nThe same command goes on."
        case "pydantic_core", _:
            return f"a value that does not fit: {'; '.join(str(error).splitlines()[1:3]).strip()}"
    return None


def _where(error: OSError) -> str:
    return f" ({_first_line(error.filename)})" if error.filename else ""


def _first_line(what: object) -> str:
    return (str(what).strip().splitlines() or [""])[0][:300]


def _tell(text: str, code: int) -> int:
    text = _shareable(text)
    if len(text.encode(errors="replace")) > LONGEST:
        text = text.encode(errors="replace")[: LONGEST - 20].decode(errors="ignore") + " ... (cut)"
    print(text, file=sys.stderr)
    return code


def _shareable(text: str) -> str:
    from labeling.location import without_passwords

    return without_passwords(text)


def _write_log(error: Exception, tokens: Sequence[str]) -> Path | None:
    """The traceback and what it was run with, in the campaign's folder or, without one, a temporary file."""
    facts = [
        f"command: alnico {' '.join(tokens)}",
        f"python {platform.python_version()} on {platform.platform()}",
        ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
    ]
    text = _shareable("\n".join([*facts, "", *traceback.format_exception(error)]))
    name = f"error-{datetime.now():%Y%m%d-%H%M%S}-"
    for folder in (_campaign_of(tokens), None):
        try:
            handle, path = tempfile.mkstemp(prefix=name, suffix=".log", dir=folder)
            with open(handle, "w", encoding="utf-8", errors="replace") as stream:
                stream.write(text)
            return Path(path)
        except OSError:
            continue
    return None


def _campaign_of(tokens: Sequence[str]) -> Path | None:
    from flows.record.folder import CampaignFolder

    for token in tokens[1:]:
        try:
            folder = CampaignFolder.open(Path(token)).path
        except (CampaignError, OSError, ValueError):
            continue
        if folder.is_dir():
            return folder
    return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
