"""Checkpoints as safetensors (numbers) and JSON (facts); nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write `path`.safetensors atomically, with `facts` (JSON values) in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".safetensors")
    temporary = file.with_suffix(".safetensors.tmp")
    contiguous = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(contiguous, temporary, metadata={"facts": json.dumps(facts)})
    os.replace(temporary, file)


def load_checkpoint(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts of `path`.safetensors; None if there is none or it is of another run."""
    file = path.with_suffix(".safetensors")
    if not file.exists():
        return None
    with safe_open(file, framework="pt") as reader:
        facts = json.loads(reader.metadata()["facts"])
        if facts["identity"] != identity:
            return None
        return {key: reader.get_tensor(key) for key in reader.keys()}, facts  # noqa: SIM118
