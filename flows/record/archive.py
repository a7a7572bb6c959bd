"""A campaign as one file, for a reviewer or a shelf: a gzipped tar that any program opens.

In it, below a folder of the campaign's name: the campaign's folder, its labels as a database and as
extxyz, its structure files, a README and SHA256SUMS. There are no locks, no process ids, no checkpoints of
half-done stages, and no password: configuration and logs are written without.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.record.roles import campaign_roles
from flows.version import version
from labeling.store import LabelStore, is_there
from potential.data.role import tagged
from potential.data.structure_files import write_frames

SUMS, README = "SHA256SUMS", "README.txt"
LEFT_OUT = (".campaign.holder.json", ".prefect.json", "campaign.lock", "labels.db")
"""Of this machine, or, the labels, written anew from the store."""
TEXT = """{name}, a campaign of alnico {version}: {level}

report.html           open it in a browser: how good, at what cost, what was labelled and why
figures/              its figures as SVG; each round has its own, too
potential/            Potential.load("potential") in Python, from alnico
labels.extxyz         the labels of this level of theory, with units, provenance and role (train, test, ...)
labels.db             the same as the label store (ase db, SQLite)
campaign.yaml         every setting; inputs/ has the structure files that it names
rounds/, arms/        each round: ledger, selection with reasons, outcomes, errors
logs/                 what the last runs said

Check:   sha256sum --check SHA256SUMS     or, without unpacking, `alnico archive --check FILE`
Look:    alnico status .                  alnico report .
Go on:   alnico run .                     paths in campaign.yaml are those of the machine it ran on
"""


def archive(folder: CampaignFolder, file: Path) -> Path:
    """Write the archive; nobody may work on the campaign meanwhile.

    Raises:
        ConfigError: if the file is there, or lies in the campaign's folder.
        CampaignError: if the campaign has not been started.
        CampaignLockedError: if somebody works on it.
    """
    if not folder.config_file.exists():
        raise CampaignError(f"{folder.path} is no campaign that was started; there is nothing to archive")
    if file.exists():
        raise ConfigError("alnico archive", [f"{file} is there already; name another with --output"])
    if file.resolve().is_relative_to(folder.path.resolve()):
        raise ConfigError("alnico archive", [f"{file} lies in the campaign's own folder; write it elsewhere"])
    with campaign_lock(folder.path), tempfile.TemporaryDirectory() as scratch:
        handle, part = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as tar:
                _fill(tar, folder, Path(scratch))
            os.link(part, file)  # refuses what has come there meanwhile
        except FileExistsError:
            raise ConfigError("alnico archive", [f"{file} is there already; name another"]) from None
        finally:
            os.unlink(part)
    return file


def check(file: Path) -> int:
    """Compare every file of an archive with its SHA-256, without unpacking; gives how many.

    Raises:
        CampaignError: if the archive is damaged, or one of its files is altered, missing, unknown,
            there twice, or no plain file.
    """
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            members = [
                (member.name, _digest_of(tar, member)) for member in tar if not _is_plain_folder(member)
            ]
            root = members[0][0].partition("/")[0]
            sums = tar.extractfile(f"{root}/{SUMS}")
            listed = [] if sums is None else sums.read().decode().splitlines()
            stream.seek(0, io.SEEK_END)  # where the checksum of the whole is
    except (OSError, EOFError, zlib.error, tarfile.TarError, LookupError, ValueError) as error:
        raise CampaignError(f"{file} is no whole archive of a campaign: {error}") from None
    wanted = {f"{root}/{line[66:]}": line[:64] for line in listed}
    count, found = Counter(name for name, _ in members), dict(members)
    found.pop(f"{root}/{SUMS}")
    amiss = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    amiss += sorted(name for name, times in count.items() if times > 1)
    if amiss:
        raise CampaignError(f"{file} is damaged or was altered: {', '.join(amiss[:5])}")
    return len(wanted)


def _fill(tar: tarfile.TarFile, folder: CampaignFolder, scratch: Path) -> None:
    root, sums = PurePosixPath(folder.config.name), list[str]()
    for name, path in _files(folder, scratch):
        with path.open("rb") as stream:
            sums.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}")
        tar.add(path, arcname=str(root / name), recursive=False, filter=_nobodys)
    about = TEXT.format(name=folder.config.name, version=version(), level=folder.config.level.name)
    sums.append(f"{hashlib.sha256(about.encode()).hexdigest()}  {README}")
    for title, text in ((README, about), (SUMS, "".join(f"{line}\n" for line in sums))):
        member = tarfile.TarInfo(str(root / title))
        member.size = len(text.encode())
        tar.addfile(member, io.BytesIO(text.encode()))


def _files(folder: CampaignFolder, scratch: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """What goes into the archive: its name there, and the file."""
    for path in sorted(folder.path.rglob("*")):
        name = PurePosixPath(path.relative_to(folder.path).as_posix())
        if path.is_file() and not path.is_symlink() and path.name not in LEFT_OUT and not _is_part(name):
            yield name, path
    for number, source in enumerate(folder.config.structure.files, start=1):
        if source.is_file():
            yield PurePosixPath("inputs", f"{number}-{source.name}"), source
    if is_there(folder.label_store):
        yield from _labels(folder, scratch)


def _is_part(name: PurePosixPath) -> bool:
    """Of a stage that is half done, or a file that was being written."""
    return name.name.startswith((".", "checkpoint")) or name.name.endswith(
        (".db-wal", ".db-shm", ".db-journal")
    )


def _labels(folder: CampaignFolder, scratch: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    store, level = LabelStore(folder.label_store), folder.config.level
    labelled = store.dataset(store.frames(level.key), level.key)
    if len(labelled):
        write_frames(scratch / "labels.extxyz", tagged(list(labelled), campaign_roles(folder)))
        yield PurePosixPath("labels.extxyz"), scratch / "labels.extxyz"
    source = Path(str(folder.label_store))
    if source.is_file():
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as theirs,
            closing(sqlite3.connect(scratch / "labels.db")) as ours,
        ):
            theirs.backup(ours)  # whole, whoever else writes
        yield PurePosixPath("labels.db"), scratch / "labels.db"


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names and numbers of this machine's users."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _is_plain_folder(member: tarfile.TarInfo) -> bool:
    """Which `tar` writes where it packs an archive anew."""
    path = PurePosixPath(member.name)
    return member.isdir() and not path.is_absolute() and ".." not in path.parts


def _digest_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None:
        return "a link, a device, or a folder elsewhere"
    return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # readable in blocks
