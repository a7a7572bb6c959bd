"""Is this machine ready for campaigns? One line a finding, and what to do where something is amiss."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import metadata
from pathlib import Path

from flows.engine.probe import probe
from labeling.location import without_passwords
from potential.data.user_cache import user_cache

LEAST_FREE_GB, MOST_SKEW_S, PATIENCE_S = 5.0, 60.0, 5.0
OK, NOTE, AMISS = "ok", "note", "amiss"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, how it is, what was found and what to do."""

    what: str
    how: str
    said: str


def examine(campaigns: Path) -> Iterator[Finding]:
    """Look at everything that a campaign needs; starts nothing and changes nothing.

    Args:
        campaigns: the folder in which campaigns are, or will be.
    """
    for look in (_python, _torch, _compiler, _threads, _pyscf):
        yield from _looked(look)
    yield from _disk(campaigns)
    yield from _looked(partial(_use, campaigns))
    yield from _servers()


def diagnose(campaigns: Path) -> bool:
    """Print the findings; False if something is amiss."""
    found = []
    for finding in examine(campaigns):
        print(f"{finding.how:<6}{finding.what:<10}{finding.said}", flush=True)
        found.append(finding.how)
    return AMISS not in found


def _looked(look: Callable[[], Finding]) -> Iterator[Finding]:
    """A look that fails is a finding too."""
    try:
        yield look()
    except Exception as error:  # noqa: BLE001  whatever a broken package raises
        what = getattr(look, "func", look).__name__.strip("_")
        yield Finding(what=what, how=AMISS, said=f"{type(error).__name__}: {error}; run `make setup` again")


def _python() -> Finding:
    fits = sys.version_info >= (3, 11)
    where = f"{platform.python_version()} on {platform.platform(terse=True)}"
    said = f"{where}, alnico {metadata.version('alnico')}"
    return Finding(what="python", how=OK if fits else AMISS, said=said if fits else f"{said}; 3.11 is needed")


def _torch() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(what="torch", how=OK, said=f"{torch.__version__}, {torch.cuda.get_device_name()}")
    return Finding(what="torch", how=OK, said=f"{torch.__version__}, no CUDA device: models run on the CPU")


def _compiler() -> Finding:
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    cache = user_cache()
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if found is None:
        said = "none: models run on plain PyTorch, several times slower. Install g++ or clang++, or set CXX"
        return Finding(what="compiler", how=NOTE, said=said)
    if not os.access(place, os.W_OK):
        said = f"{found}, but kernels cannot be kept in {cache}: set ALNICO_CACHE to a folder of yours"
        return Finding(what="compiler", how=NOTE, said=said)
    return Finding(what="compiler", how=OK, said=f"{found}, kernels in {cache}")


def _threads() -> Finding:
    from labeling.workers import available_cores

    cores, wanted = available_cores(), os.environ.get("OMP_NUM_THREADS")
    said = f"{cores} cores; a label each at once, and all of them for training"
    if wanted and wanted.isdigit() and int(wanted) > cores:
        said = f"OMP_NUM_THREADS={wanted} on {cores} cores: unset it, or write at most {cores}"
        return Finding(what="threads", how=AMISS, said=said)
    return Finding(what="threads", how=OK, said=said)


def _pyscf() -> Finding:
    return Finding(what="pyscf", how=OK, said=metadata.version("pyscf"))


def _disk(campaigns: Path) -> Iterator[Finding]:
    place = next(f for f in (campaigns.resolve(), *campaigns.resolve().parents) if f.exists())
    free = shutil.disk_usage(place).free / 1e9
    said = f"{free:.0f} GB free in {place}"
    if not os.access(place, os.W_OK):
        yield Finding(what="disk", how=AMISS, said=f"{place} cannot be written: change its owner or mode")
    elif not free >= LEAST_FREE_GB:
        yield Finding(what="disk", how=AMISS, said=f"{said}: free some, or set `folder` in campaign.yaml")
    else:
        yield Finding(what="disk", how=OK, said=said)


def _use(campaigns: Path) -> Finding:
    """What campaigns, their dashboards and their kernels take, and what of it can go."""
    from prefect.settings import get_current_settings

    from flows.views.disk import shown_size, size_of

    prefect = get_current_settings().home
    kernels = user_cache()
    places = {
        f"campaigns and MLflow in {campaigns}": campaigns,
        f"Prefect's history in {prefect} (`alnico prune` shortens it)": prefect,
        f"kernels in {kernels} (compiled anew if deleted)": kernels,
    }
    used = [f"{shown_size(size_of(path))} {what}" for what, path in places.items() if path.exists()]
    return Finding(what="use", how=OK, said="; ".join(used) or "nothing yet")


def _servers() -> Iterator[Finding]:
    from prefect.settings import get_current_settings

    prefect, mlflow = get_current_settings().api.url, os.environ.get("MLFLOW_TRACKING_URI", "")
    if prefect:
        yield from _server("prefect", f"{prefect.rstrip('/')}/health", "start it, or unset PREFECT_API_URL")
    else:
        yield Finding(what="prefect", how=OK, said="none is set: each campaign brings its own along")
    if mlflow.startswith(("http://", "https://")):
        yield from _server("mlflow", mlflow, "start it, or unset MLFLOW_TRACKING_URI")
    else:
        yield Finding(what="mlflow", how=OK, said=without_passwords(mlflow) or "a file beside the campaigns")


def _server(what: str, url: str, mend: str) -> Iterator[Finding]:
    """Whether it answers, and whether its clock is ours: schedules and states go by it."""
    shown = without_passwords(url)
    try:
        date = probe(url, PATIENCE_S).get("date")
    except (OSError, ValueError) as error:
        said = f"no answer from {shown} ({getattr(error, 'reason', error)}): {mend}"
        yield Finding(what=what, how=AMISS, said=said)
        return
    yield Finding(what=what, how=OK, said=f"{shown} answers")
    if date is not None and abs(skew := time.time() - parsedate_to_datetime(date).timestamp()) > MOST_SKEW_S:
        said = f"{skew:+.0f} s from that of {what}'s server: set one of them right (NTP)"
        yield Finding(what="clock", how=AMISS, said=said)
