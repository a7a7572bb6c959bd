"""How much disk a campaign uses, and what of it nobody would miss."""

from __future__ import annotations

import os
from pathlib import Path

from flows.record.folder import CampaignFolder

UNITS = ("B", "kB", "MB", "GB", "TB")


def disk_line(folder: CampaignFolder) -> str:
    """`12 MB: rounds 8.0 MB, labels.db 2.1 MB, logs 120 kB (logs may be deleted; ...)`."""
    parts = {path.name: size_of(path) for path in folder.path.iterdir() if not path.name.startswith(".")}
    largest = sorted(parts, key=lambda name: parts[name], reverse=True)[:4]
    shown = ", ".join(f"{name} {shown_size(parts[name])}" for name in largest if parts[name])
    return (
        f"{shown_size(sum(parts.values()))}: {shown} (logs/ and error-*.log may be deleted; frames that were "
        "explored are needed to select again)"
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count nothing, what vanishes neither."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(size_of(child) for child in path.iterdir())
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def shown_size(n: int | float) -> str:
    """`512 B`, `1.2 kB`, `34 MB`."""
    unit = 0
    while n >= 1000 and unit < len(UNITS) - 1:
        n, unit = n / 1000, unit + 1
    return f"{n:.1f} {UNITS[unit]}" if n < 10 and unit else f"{n:.0f} {UNITS[unit]}"
