"""Checkpoints as safetensors (numbers) and JSON (facts); nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write `path`.safetensors atomically, with `facts` (JSON values) in its header; keep the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".safetensors")
    temporary = file.with_suffix(".safetensors.tmp")
    contiguous = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})
    if file.exists():
        os.replace(file, _before(path))
    os.replace(temporary, file)


def load_checkpoint(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of `path`.safetensors, or of the one before where it is damaged.

    Returns:
        None if there is none, or none that can be read, or it is of another run.
    """
    for file in (path.with_suffix(".safetensors"), _before(path)):
        if not file.exists():
            continue
        try:
            with safe_open(file, framework="pt") as reader:
                facts = json.loads(reader.metadata()["facts"])
                tensors = {key: reader.get_tensor(key) for key in reader.keys()}  # noqa: SIM118
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{file} is damaged ({error}); an earlier checkpoint is tried", stacklevel=2)
            continue
        return (tensors, facts) if facts["identity"] == identity else None
    return None


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before.safetensors")
