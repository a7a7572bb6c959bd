"""A PostgreSQL on loopback, for tests: of Debian's `postgresql`, with a password, gone afterwards."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support.installation import free_port

USER = "alnico"


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    """A server that runs."""

    port: int
    password: str

    def url(self, database: str, *, driver: str = "postgresql", password: bool = True) -> str:
        who = f"{USER}:{self.password}" if password else USER
        return f"{driver}://{who}@127.0.0.1:{self.port}/{database}"


def can_run() -> bool:
    """Whether there are the server's programs, and the packages by which Python speaks with it."""
    return (
        _programs() is not None
        and _account() is not None
        and all(find_spec(name) for name in ("psycopg2", "ase_db_backends"))
    )


@contextmanager
def postgresql(*databases: str) -> Iterator[PostgreSQL]:
    """Have it run in this context, with these databases."""
    programs, account = _programs(), _account()
    assert programs is not None
    assert account is not None
    server = PostgreSQL(port=free_port(), password=secrets.token_hex(16))
    folder = Path(tempfile.mkdtemp(prefix="alnico-postgresql-"))
    data, password = folder / "data", folder / "password"
    try:
        password.write_text(server.password)
        for path in (folder, password):
            os.chown(path, account.pw_uid, account.pw_gid)
        who = ["--username", USER, "--pwfile", str(password)]

        def call(program: str, *arguments: str) -> None:
            environment = {"PATH": os.environ["PATH"], "PGPASSWORD": server.password, "LC_ALL": "C.UTF-8"}
            subprocess.run(
                [programs / program, *arguments],
                check=True,
                cwd=folder,
                env=environment,
                user=account.pw_uid,
                group=account.pw_gid,
                stdout=subprocess.DEVNULL,
                timeout=120,
            )

        call("initdb", "--pgdata", str(data), "--auth", "scram-sha-256", *who, "--no-sync")
        listen = (
            f"-c listen_addresses=127.0.0.1 -c port={server.port} -c unix_socket_directories= -c fsync=off"
        )
        try:
            log = str(folder / "log")
            call("pg_ctl", "start", "--wait", "--pgdata", str(data), "--log", log, "--options", listen)
            for database in databases:
                at = ["--host", "127.0.0.1", "--port", str(server.port), "--username", USER]
                call("createdb", *at, database)
            yield server
        finally:
            call("pg_ctl", "stop", "--pgdata", str(data), "--mode", "immediate")
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _account() -> pwd.struct_passwd | None:
    """Whose the server is: ours, or as root, whom it refuses, Debian's `postgres`."""
    try:
        return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        return None
