"""A SLURM of one node on loopback, for tests: of Debian's `slurm-wlm` and `munge`, as root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONF = """\
ClusterName=alnico-test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=01:00:00 State=UP
"""


def can_run() -> bool:
    """Whether the programs are there, and we are root, which they want to be."""
    return os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


@contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[Path]:
    """Have it run in this context; gives the file that SLURM_CONF must name."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    munge = folder / "munge"
    key = munge / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    shutil.chown(munge, "munge", "munge")
    shutil.chown(key, "munge", "munge")
    munge.chmod(0o755)
    for parent in [folder, *folder.parents][:-2]:  # munged runs as another user, who must get there
        parent.chmod(parent.stat().st_mode | 0o011)
    conf = folder / "slurm.conf"
    ports = {"controller_port": free_port(), "node_port": free_port()}
    host = socket.gethostname().split(".")[0]
    conf.write_text(CONF.format(host=host, folder=folder, cpus=cpus, **ports))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    files = [f"--{what}={munge}/{what}" for what in ("socket", "pid-file", "log-file", "seed-file")]
    try:
        subprocess.run([*as_munge, "munged", f"--key-file={key}", *files], check=True)
        for program in (["slurmctld", "-c"], ["slurmd"]):
            subprocess.run(program, env=environment, check=True)
        wait_for_node(environment, folder)
        yield conf
    finally:
        subprocess.run(["scancel", "--user", "root"], env=environment, capture_output=True)
        for pid_file in (folder / "slurmd.pid", folder / "slurmctld.pid", munge / "pid-file"):
            with suppress(OSError, ValueError):
                end(int(pid_file.read_text()))


def end(pid: int) -> None:
    """Ask a daemon to end, and make it: slurmd waits for steps whose jobs are gone."""
    os.kill(pid, signal.SIGTERM)
    for _ in range(50):
        time.sleep(0.1)
        os.kill(pid, 0)  # raises once it has gone
    os.kill(pid, signal.SIGKILL)


def wait_for_node(environment: dict[str, str], folder: Path) -> None:
    for _ in range(60):
        said = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
        if "idle" in said.stdout:
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in folder.glob("*.log"))
    raise AssertionError(f"SLURM did not come up: {said.stdout}{said.stderr}\n{logs}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
